"""Names of topics as they are after remapping, and what diagnostics say of the input."""

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import TransitionCallbackReturn

from test.ros.conftest import header, picture
from vidseg_ros.ros.diagnostics import MANY, RECENT
from vidseg_ros.ros.parameters import Parameters, read_parameters

CASES = [  # transport, remappings, topic
    ("raw", [], "/image"),
    ("raw", ["image:=/cam/image_raw"], "/cam/image_raw"),
    ("compressed", [], "/image/compressed"),
    ("compressed", ["image:=/cam/image_raw"], "/cam/image_raw/compressed"),
    ("compressed", ["image/compressed:=/cam/jpeg"], "/cam/jpeg"),
    ("compressed", ["image:=/cam/image_raw", "image/compressed:=/cam/jpeg"], "/cam/jpeg"),
    ("compressed", ["__ns:=/car", "image:=cam"], "/car/cam/compressed"),
]


@pytest.mark.parametrize(("transport", "rules", "topic"), CASES)
def test_the_topic_is_the_remapped_one_and_is_called_so(start, capfd, transport, rules, topic):
    words = [word for rule in rules for word in ("-r", rule)]
    node = start[0](cli_args=["--ros-args", *words] if words else None, image_transport=transport)
    camera = node._cameras[""]
    assert (camera.topic, camera.subscription.topic_name) == (topic, topic)
    assert f"segmenting {topic}\n" in capfd.readouterr().err
    assert f"nobody publishes {topic};" in camera.report(active=True).message


def test_each_of_several_cameras_is_remapped(start):
    rules = ["-r", "front/image:=/a", "-r", "rear/image/compressed:=/b"]
    node = start[0](cli_args=["--ros-args", *rules], image_transport="compressed", cameras=["front", "rear"])
    assert [camera.topic for camera in node._cameras.values()] == ["/a/compressed", "/b"]


def test_an_empty_list_is_an_empty_list(start, tmp_path):
    file = tmp_path / "lists.yaml"
    file.write_text("/**:\n  ros__parameters:\n    cameras: []\n    size: []\n")
    node = start[0](activate=False, cli_args=["--ros-args", "--params-file", str(file)])
    assert (read_parameters(node, Parameters).cameras, read_parameters(node, Parameters).size) == ([], [])
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert list(node._cameras) == [""]


def test_cameras_that_share_a_topic_are_warned_of(start):
    start_node, start_client = start
    start_node()
    first, second = start_client(), start_client()
    for number in range(RECENT):
        client = (first, second)[number % 2]
        client.ask(1 + number / 30, picture(48, 64 + 16 * (number % 2)))
    level, text, values = first.report()
    assert (level, values["publishers"]) == (DiagnosticStatus.WARN, "2")
    assert "2 publishers on /image" in text or "no new image" in text


def test_a_state_that_is_reset_all_the_time_is_warned_of(start):
    start_node, start_client = start
    node = start_node(diagnostics_period=60.0)
    client, camera = start_client(), node._cameras[""]
    for number in range(MANY + 1):  # the first frame continues nothing
        assert camera.report(active=True).level == (DiagnosticStatus.OK if number else DiagnosticStatus.WARN)
        client.ask(1 + number / 30, header=header(1 + number / 30, frame_id=f"camera{number % 2}"))
    client.wait(lambda: len(camera.statistics.recent) == MANY + 1)
    status = camera.report(active=True)
    expected = (
        f"the state was reset at {MANY} of the last {MANY + 1} frames: frame_id changed from 'camera0' to 'camera1'"
    )
    assert (status.level, status.message) == (DiagnosticStatus.WARN, expected)

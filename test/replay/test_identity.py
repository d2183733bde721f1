"""Which frame is which: stamps that repeat, rates of topics, names of cameras."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer

from test.io.making import write_bag
from test.replay.conftest import FRAMES, LATE, PERIOD, START, messages, stamps
from test.replay.test_replay import arguments
from vidseg_ros.cli.main import main
from vidseg_ros.errors import UserError
from vidseg_ros.files import distinct
from vidseg_ros.io.bag_reader import TYPES, image_topics
from vidseg_ros.io.frame import frame_rate
from vidseg_ros.io.recordings import camera_names, open_recordings
from vidseg_ros.labels import CAMVID
from vidseg_ros.replay.ground_truth import Reading, open_truth
from vidseg_ros.replay.job import run_input

READING = Reading(CAMVID, CAMVID)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr("vidseg_ros.evaluation.bootstrap.RESAMPLES", 20)


def stamped(some, nanoseconds):
    """Give every message the same stamp."""
    for _, message in some:
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(nanoseconds, 10**9)
    return some


def test_stamps_that_are_all_alike_pair_with_nothing(drive, tmp_path):
    """Labels that begin two frames later were paired with wrong frames, without a word."""
    frames = stamped(messages([f.rgb for f in drive]), 0)
    labels = stamped(messages([f.labels for f in drive], "mono8"), 0)
    path = write_bag(tmp_path / "zero", {"/image": frames, "/truth": labels[2:]})
    (recording,) = open_recordings(path, ["/image"])
    with pytest.raises(UserError, match=r"labels '/truth' cannot be told apart: all 10 have 0 for their stamp"):
        open_truth("/truth", recording, READING)
    (tmp_path / "ids").mkdir()
    cv2.imwrite(str(tmp_path / "ids/0.png"), drive[0].labels)
    with pytest.raises(UserError, match=r"frames of .* cannot be told apart: all 12"):
        open_truth(str(tmp_path / "ids"), recording, READING)


def test_stamps_that_repeat_are_counted_and_pair_with_nothing(drive, config, tmp_path):
    frames, labels = messages([f.rgb for f in drive]), messages([f.labels for f in drive], "mono8")
    frames[4:6] = stamped(frames[4:6], stamps()[4])
    labels[8:10] = stamped(labels[8:10], stamps()[8])
    path = write_bag(tmp_path / "twice", {"/front/image_raw": frames, "/truth": labels})
    run_input(path, tmp_path / "out", replace(config, labels="/truth"))
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert (result["frames"], result["repeated"], result["unmatched"]) == (FRAMES, 1, 4)


def test_a_bag_without_stamps_is_judged_without_labels(drive, config, tmp_path):
    path = write_bag(tmp_path / "zero", {"/front/image_raw": stamped(messages([f.rgb for f in drive]), 0)})
    run_input(path, tmp_path / "out", config)
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert (result["frames"], result["repeated"], result["complete"], result["resets"]) == (
        FRAMES,
        FRAMES - 1,
        True,
        [],
    )


def test_the_rate_is_that_of_the_topic(drive, tmp_path):
    """The camera is on for a second of a minute; the bag's own length is of no concern."""
    late = START + 60 * 10**9
    clock = [(time, TYPES.types["builtin_interfaces/msg/Time"](0, 0)) for time in (START, late)]
    path = write_bag(tmp_path / "bag", {"/image": messages([f.rgb for f in drive]), "/clock": clock})
    assert image_topics(path)[0].fps == pytest.approx(15, abs=1e-3)
    unstamped = write_bag(tmp_path / "unstamped", {"/image": stamped(messages([f.rgb for f in drive]), 0)})
    assert image_topics(unstamped)[0].fps == pytest.approx(15, abs=1e-3)
    at_once = [(START, message) for _, message in stamped(messages([f.rgb for f in drive]), 7)]
    assert image_topics(write_bag(tmp_path / "at_once", {"/image": at_once}))[0].fps == 15.0


def test_frame_rate():
    assert frame_rate([0, 5 * 10**8, 5 * 10**8, 10**9]) == 2.0
    assert frame_rate([0, PERIOD, 2 * PERIOD, 99 * PERIOD]) == pytest.approx(15)
    assert frame_rate([9, 9, 9]) is frame_rate([9]) is frame_rate([]) is None


@pytest.mark.parametrize(
    ("topics", "names"),
    [
        (["/front/image_raw", "/rear/image_raw"], ["front", "rear"]),
        (["/front/image_raw", "/front/image_rect"], ["front_image_raw", "front_image_rect"]),
        (["/front/image", "/front/image/compressed"], ["front_image", "front_image_compressed"]),
        (["/a/b_c/image", "/a_b/c/image"], ["a_b_c_image", "a_b_c_image_2"]),
        (["/..", "/image"], ["__", "camera"]),
    ],
)
def test_two_topics_of_one_camera_have_names_of_their_own(topics, names):
    assert camera_names(topics) == names


def test_distinct_names():
    assert distinct(["a", "a", "a_2", "b"]) == ["a", "a_2", "a_2_2", "b"]


def test_two_topics_of_one_camera_are_both_reported(drive, checkpoint_file, tmp_path):
    pictures = [f.rgb for f in drive[:6]]
    topics = {"/front/image_raw": messages(pictures), "/front/image_rect": messages(pictures)}
    path = write_bag(tmp_path / "two", topics)
    options = arguments(path, checkpoint_file, tmp_path / "out", "--topic", "/front/image_rect")
    assert main(["replay", *options, "--topic", "/front/image_rect"]) == 0, "one that is named twice is taken once"
    assert json.loads((tmp_path / "out/metrics.json").read_text())["frames"] == 12
    assert len(json.loads((tmp_path / "out/latency.json").read_text())) == 2


def test_publishers_of_one_topic_are_one_topic(drive, tmp_path):
    """A publisher that came back with other QoS has a connection of its own in the bag."""
    qos = Qos(
        QosHistory.KEEP_LAST, 1, QosReliability.BEST_EFFORT, QosDurability.VOLATILE, QosTime(0, 0), QosTime(0, 0),
        QosLiveliness.AUTOMATIC, QosTime(0, 0), False,
    )  # fmt: skip
    kind = "sensor_msgs/msg/Image"
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for profiles, part in (([], slice(0, 5)), ([qos], slice(5, 12))):
            connection = writer.add_connection("/image", kind, typestore=TYPES, offered_qos_profiles=profiles)
            for recorded, message in messages([f.rgb for f in drive])[part]:
                writer.write(connection, recorded, TYPES.serialize_cdr(message, kind))
    (topic,) = image_topics(tmp_path / "bag")
    assert (topic.count, len(list(topic.messages()))) == (12, 12)
    assert next(topic.messages())[0] == START + LATE


def test_two_label_images_of_one_frame_are_refused(drive, tmp_path):
    for name in ("1.png", "1.jpg"):
        cv2.imwrite(str(tmp_path / name), np.zeros((4, 6), np.uint8))
    (recording,) = open_recordings(tmp_path)
    with pytest.raises(UserError, match=r"1.jpg' and '.*1.png' are of one frame|1.png' and '.*1.jpg' are of one frame"):
        open_truth(str(tmp_path), recording, READING)


def test_inputs_of_one_name_become_scenes_of_their_own(drive, checkpoint_file, tmp_path):
    paths = [tmp_path / name / "drive" for name in "ab"]
    for path in paths:
        path.parent.mkdir()
        write_bag(path, {"/image": messages([f.rgb for f in drive[:2]])})
    command = ["pseudo-label", *map(str, paths), "--teacher", str(checkpoint_file), "--output", str(tmp_path / "out")]
    assert main([*command, "--scales", "1", "--no-flip"]) == 0
    assert sorted(folder.name for folder in (tmp_path / "out").iterdir()) == ["drive", "drive_2"]


def test_a_film_that_fails_costs_nothing_else(bag, checkpoint_file, tmp_path, capsys):
    film = tmp_path / "out/drive/film.mp4"
    film.mkdir(parents=True)
    assert main(["replay", *arguments(bag, checkpoint_file, tmp_path / "out", "--labels", "/truth")]) == 0
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["frames"] == FRAMES and metrics["recordings"][0]["complete"] and metrics["miou"] is not None
    (note,) = metrics["recordings"][0]["notes"]
    assert f"no film '{film}'" in note and "no film" in (tmp_path / "out/report.html").read_text()
    assert "no film" in capsys.readouterr().out

"""The life cycle with frames in flight: every transition, round after round, and after what fails."""

import os
import threading
import time

import pytest
import rclpy
from lifecycle_msgs.msg import State
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import Image

from test.ros.conftest import TIMEOUT, header, picture
from test.ros.test_requests import LEGAL, ask, change_state, state  # noqa: F401 - a fixture among them
from vidseg_ros.ros.conversions import to_image
from vidseg_ros.ros.harness.soak import lifecycle_rounds

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
ROUNDS = int(os.environ.get("VIDSEG_ROUNDS", "12"))
SETTLED = 6  # rounds after which nothing grows
WAY = (1, 2, 1, 3, 4, 3, 4, 2)  # transitions, through every state and back


@pytest.fixture
def flowing():
    """Publish frames all the time, on a thread; the fixture counts those sent."""
    node, stop, sent = rclpy.create_node("flood"), threading.Event(), []
    publisher = node.create_publisher(Image, "image", 1)

    def flow():
        while not stop.wait(0.005):
            publisher.publish(to_image(picture(), "rgb8", header(1 + len(sent) / 200)))
            sent.append(True)

    thread = threading.Thread(target=flow)
    thread.start()
    yield sent
    stop.set()
    thread.join()
    node.destroy_node()


def wait(done):
    deadline = time.monotonic() + TIMEOUT
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_rounds_with_frames_in_flight_hold_nothing_back(start, flowing):
    node = start[0](activate=False, engine="torch")

    def flow():
        (camera,) = node._cameras.values()
        wait(lambda: camera.statistics.processed >= 3)

    held = lifecycle_rounds(node, ROUNDS, flow)
    first, last = held[SETTLED], held[-1]
    assert last.threads <= first.threads + 2  # those of other tests come and go; one a round would be many
    assert last.files <= first.files
    assert last.rss_mb - first.rss_mb < 20


def test_any_request_leads_where_the_state_machine_says(start, flowing, ask):  # noqa: F811
    node, where = start[0](activate=False, engine="torch"), State.PRIMARY_STATE_UNCONFIGURED
    for way in WAY:
        for number in {1, 2, 3, 4} - set(LEGAL[where]):
            assert not change_state(ask, number)
            assert state(ask) == where
        if where == State.PRIMARY_STATE_ACTIVE:
            (camera,) = node._cameras.values()
            wait(lambda: camera.statistics.processed)  # noqa: B023 - called here
        assert change_state(ask, way)
        where = LEGAL[where][way]
    counts = camera.statistics
    assert counts.received == counts.processed + counts.dropped
    assert counts.rejected == 0


FAILING = [
    "vidseg_ros.ros.segmentation.node.find_decoder",
    "vidseg_ros.ros.segmentation.node.open_model",
    "vidseg_ros.ros.segmentation.node.Camera",
    "vidseg_ros.ros.segmentation.node.Camera.create_topics",
    "vidseg_ros.ros.segmentation.node.publish_label_info",
    "vidseg_ros.ros.segmentation.recovery.WarmUp",
    "vidseg_ros.ros.segmentation.camera.qos",
]


@pytest.mark.parametrize("where", FAILING)
def test_an_error_in_configure_leaves_the_node_unconfigured_and_serviceable(start, ask, monkeypatch, where):  # noqa: F811
    def fail(*_, **__):
        raise MemoryError("no room")

    node = start[0](activate=False, engine="torch")
    with monkeypatch.context() as patch:
        patch.setattr(where, fail)
        assert node.trigger_configure() == FAILURE
    assert state(ask) == State.PRIMARY_STATE_UNCONFIGURED
    assert node._problem == "MemoryError: no room"
    assert (node._engine, node._cameras) == (None, {})
    assert not node.count_subscribers("/image")
    assert node.trigger_configure() == node.trigger_activate() == SUCCESS
    start[1]().ask(1.0)


def test_an_error_in_activate_or_deactivate_can_be_mended(start, ask, monkeypatch):  # noqa: F811
    def fail(*_, **__):
        raise RuntimeError("can't start new thread")

    node = start[0](activate=False, engine="torch")
    for name, path in (("vidseg_ros.ros.segmentation.node.Thread", []), ("vidseg_ros.stream.FrameStream.reset", [3])):
        assert node.trigger_configure() == SUCCESS
        for number in path:
            assert change_state(ask, number)
        with monkeypatch.context() as patch:
            patch.setattr(name, fail)
            assert not change_state(ask, 4 if path else 3)
        assert state(ask) == State.PRIMARY_STATE_UNCONFIGURED
        assert (node._worker, node._engine) == (None, None)
    assert node.trigger_configure() == node.trigger_activate() == SUCCESS
    start[1]().ask(1.0)

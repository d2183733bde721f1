"""The evaluator over DDS, ended as a user ends it, and what it makes of trouble."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from vidseg_ros.carla.labels import encode  # noqa: E402
from vidseg_ros.errors import UserError  # noqa: E402
from vidseg_ros.labels import CAMVID  # noqa: E402
from vidseg_ros.ros import spin  # noqa: E402
from vidseg_ros.ros.conversions import to_image  # noqa: E402
from vidseg_ros.ros.driving.evaluator import EvaluatorConfig, EvaluatorNode  # noqa: E402

IDS = np.arange(48, dtype=np.uint8).reshape(6, 8) % 11
INFO = {"received_timestamp": 0}
FRAMES = 12


def header(seconds):
    head = Header()
    head.stamp.sec, head.stamp.nanosec = divmod(round(seconds * 1e9), 10**9)
    return head


def semantic(truth, seconds):
    return to_image(encode(truth, CAMVID, "colors"), "bgra8", header(seconds))


# -- a process of its own


class Camera:
    """Publishes a drive, and hears the running figures of an evaluator."""

    def __init__(self, *topics):
        self.node = rclpy.create_node("camera")
        self.publishers = {topic: self.node.create_publisher(Image, topic, 10) for topic in topics}
        self.score = {}
        self.node.create_subscription(DiagnosticStatus, "/evaluator/score", self._hear, 1)

    def _hear(self, status):
        self.score = {pair.key: pair.value for pair in status.values}

    def wait(self, done):
        deadline = time.monotonic() + 30
        while not done():
            assert time.monotonic() < deadline
            rclpy.spin_once(self.node, timeout_sec=0.05)


def evaluate(folder, topics, frames):
    """Run the node on ``frames`` of messages by topic until it has judged them; interrupt it; return how it ended."""
    command = [sys.executable, "-m", "vidseg_ros.ros.driving.evaluator", "--ros-args", "-p", f"report:={folder}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    camera = Camera(*topics)
    try:
        camera.wait(lambda: all(p.get_subscription_count() for p in camera.publishers.values()) and camera.score)
        for messages in frames:
            for topic, message in messages.items():
                camera.publishers[topic].publish(message)
            rclpy.spin_once(camera.node, timeout_sec=0.02)
        camera.wait(lambda: camera.score.get("frames") == str(len(frames)))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        camera.node.destroy_node()
    return process.returncode, errors


def drive():
    """Return truth and labels, of which a fifth is wrong anew in each frame."""
    random = np.random.default_rng(0)
    truth = np.repeat(np.kron(IDS, np.ones((8, 8), np.uint8))[None], FRAMES, 0)
    return truth, np.where(random.random(truth.shape) < 0.2, random.integers(0, 11, truth.shape), truth).astype(
        np.uint8
    )


def test_an_interrupt_leaves_the_report_of_replay(tmp_path):
    truth, labels = drive()
    picture = np.zeros((*truth.shape[1:], 3), np.uint8)
    frames = [
        {
            "image": to_image(picture, "rgb8", header(index / 10)),
            "semantic": semantic(truth[index], index / 10),
            "label": to_image(labels[index], "mono8", header(index / 10)),
        }
        for index in range(FRAMES)
    ]
    code, errors = evaluate(tmp_path, ("image", "semantic", "label"), frames)
    assert (code, "Traceback" in errors) == (0, False), errors
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["acc"] == pytest.approx(100 * np.mean(labels == truth), abs=0.006)
    assert metrics["cons"] == pytest.approx(100 * np.mean(labels[1:] == labels[:-1]), abs=0.006)
    assert metrics["consw"] == pytest.approx(
        100 * np.mean((labels[1:] == labels[:-1]) & (labels[1:] != truth[1:])), abs=0.006
    )
    assert (metrics["frames"], metrics["problems"], metrics["checkpoint"]) == (FRAMES, [], "/label")
    assert metrics["tc"] is None and metrics["trajectory"] is None  # nobody works the flow out
    (times,) = json.loads((tmp_path / "latency.json").read_text())["/semantic"].values()
    assert 0 < times["wall_ms"]["p50"] < 1000
    assert times["sim_ms"]["p50"] is not None
    page = (tmp_path / "report.html").read_text()
    assert "data:image/jpeg" in page and "Confusion" in page and "<polyline" in page


# -- what it makes of trouble


@pytest.fixture
def evaluator():
    node = EvaluatorNode()
    yield node
    node.destroy_node()


def give(node, stamp, label=IDS, truth=IDS):
    if truth is not None:
        node._on_semantic(semantic(truth, stamp), INFO)
    if label is not None:
        node._on_label(to_image(label, "mono8", header(stamp)), INFO)


def test_a_frame_without_its_partner_does_not_count(evaluator):
    give(evaluator, 1)
    give(evaluator, 2, truth=None)
    give(evaluator, 3, label=None)
    give(evaluator, 4)
    assert evaluator.figures()["frames"] == 2
    evaluator._pairs.give_up()
    assert (evaluator.figures()["unmatched"], evaluator.figures()["unanswered"]) == (1, 1)


def test_time_that_runs_back_interrupts_the_pairs(evaluator):
    for index, stamp in enumerate((10, 10.1, 1, 1.1, 5)):
        give(evaluator, stamp, label=np.full_like(IDS, index % 2))
    figures = evaluator.figures()
    assert (figures["frames"], figures["resets"]) == (5, 2)  # a map was loaded, and a pause
    assert figures["cons"] == 0  # two pairs, in which all changes


def test_unknown_colours_and_sizes_are_rejected(evaluator):
    evaluator._on_semantic(to_image(np.full((6, 8, 4), 7, np.uint8), "bgra8", Header()), INFO)
    evaluator._on_label(to_image(IDS, "mono8", Header()), INFO)
    give(evaluator, 5, label=IDS[:3])
    evaluator._on_label(to_image(np.zeros((6, 8, 3), np.uint8), "rgb8", Header()), INFO)
    figures = evaluator.figures()
    assert (figures["frames"], figures["rejected"]) == (0, 3)
    assert figures["miou"] is None


@pytest.fixture
def reporting(tmp_path, monkeypatch):
    monkeypatch.setattr("vidseg_ros.evaluation.bootstrap.RESAMPLES", 20)
    node = EvaluatorNode(parameter_overrides=[Parameter("report", value=str(tmp_path / "report"))])
    yield node, tmp_path / "report"
    node.destroy_node()


def test_no_camera_is_no_obstacle(reporting):
    node, folder = reporting
    for index in range(3):
        give(node, index / 10, label=np.full_like(IDS, index))
    picture = to_image(IDS, "mono8", header(0.3))
    picture.encoding = "unheard of"
    node._on_picture(picture)
    give(node, 0.3)
    node.finish()
    problems = json.loads((folder / "metrics.json").read_text())["problems"]
    assert problems == ["4 of 4 frames came without their picture"]
    assert "data:image/jpeg" in (folder / "report.html").read_text()


def test_nothing_to_report_is_said(reporting):
    node, folder = reporting
    node.finish()
    assert list(folder.iterdir()) == []


def test_a_report_that_cannot_be_written_is_one_line(reporting, monkeypatch, capfd):
    node, folder = reporting
    give(node, 0)
    folder.rmdir()
    folder.touch()
    for module, name in ((spin.rclpy, "init"), (spin.rclpy, "try_shutdown"), (spin.signal, "signal")):
        monkeypatch.setattr(module, name, lambda *args, **kwargs: None)
    with pytest.raises(UserError, match="cannot write"):
        spin.work(lambda: node, lambda node: None)
    assert spin.run(lambda: node, "evaluator", EvaluatorConfig, begin=interrupted) == 2
    error = capfd.readouterr().err
    assert error.count("[FATAL]") == 1 and "cannot write" in error and "Traceback" not in error


def interrupted(node):
    raise KeyboardInterrupt


@pytest.mark.parametrize("change", [{"step": 0}, {"height": 7}, {"width": 0}, {"data": b"12"}])
def test_images_whose_sizes_lie_are_rejected(evaluator, change):
    message = to_image(IDS, "mono8", Header())
    for name, value in change.items():
        setattr(message, name, value)
    evaluator._on_label(message, INFO)
    assert evaluator.figures()["rejected"] == 1


def test_padded_rows_are_cut(evaluator):
    evaluator._on_semantic(semantic(IDS, 0), INFO)
    padded = to_image(np.pad(IDS, ((0, 0), (0, 5)), constant_values=3), "mono8", Header())
    padded.width = IDS.shape[1]
    evaluator._on_label(padded, INFO)
    assert evaluator.figures()["acc"] == 100


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [("interface", "radio", "interface is 'radio'"), ("carla_version", "0.8", "use 0.9.10 or later"),
     ("label_set", "mine", "label set 'mine' does not exist"), ("report", "/dev/null/x", "cannot write '/dev/null/x")],
)  # fmt: skip
def test_bad_parameters_are_one_line(parameter, value, message):
    with pytest.raises(UserError, match=message):
        EvaluatorNode(parameter_overrides=[Parameter(parameter, value=value)])

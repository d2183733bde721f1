"""Signals at random moments while frames flow, and nodes that take the place of those that were killed."""

import os
import random
import signal
import time
from contextlib import contextmanager, suppress

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image

from test.ros.conftest import header, picture
from test.ros.test_start_and_stop import NODES, begin, ended
from vidseg_ros.ros.conversions import nanoseconds, to_image

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
ROUNDS = 1  # of each signal
MOST_ANSWERS = 20  # before a signal
PERIOD = 0.02  # seconds between two images of a camera
START = 60.0  # seconds until all nodes must have answered; their process ends them then


class Camera:
    """Publishes the images of one node, and counts its answers to those sent since ``restart``."""

    def __init__(self, node, name):
        self.name, self.answers, self._since, self._sent = name, 0, 0, 0
        self._publisher = node.create_publisher(Image, f"/{name}/image", 1)
        node.create_subscription(Image, f"/{name}/segmentation/label", self._on_answer, 10)

    def send(self):
        self._sent += 1
        self._publisher.publish(to_image(picture(), "rgb8", header(self._sent * PERIOD)))

    def restart(self):
        self.answers, self._since = 0, self._sent * PERIOD * 1e9

    def _on_answer(self, message):
        self.answers += nanoseconds(message) > self._since


@pytest.fixture
def flow(checkpoint_file, tmp_path):
    """Let frames flow to new nodes until each has got its signal; returns exit status and stderr of each."""
    node, executor = rclpy.create_node("cameras"), SingleThreadedExecutor()
    executor.add_node(node)
    cameras = {}

    def until_signalled(plan, folder):
        """``plan``: name of a node -> its signal, and how many answers and seconds come before it."""
        folder.mkdir()
        for name in plan:
            cameras.setdefault(name, Camera(node, name)).restart()
        settings = [
            "-p",
            f"model:={checkpoint_file}",
            "-p",
            "engine:=torch",
            "-p",
            "device:=cpu",
            "-p",
            "max_gap:=3600.0",
        ]
        cases = [(NODES["segmentation"], [*settings, "-r", f"__ns:=/{name}"], {}, None) for name in plan]
        with serving(cases, folder) as server:
            waiting = {number: (cameras[name], *plan[name]) for number, name in enumerate(plan)}
            deadline = time.monotonic() + START
            while waiting:
                assert time.monotonic() < deadline, f"no answers of {[each[0].name for each in waiting.values()]}"
                for camera in cameras.values():
                    camera.send()
                serve(executor, PERIOD)
                for number in [n for n, (camera, _, answers, _) in waiting.items() if camera.answers >= answers]:
                    _, kind, _, pause = waiting.pop(number)
                    time.sleep(pause)
                    os.kill(int((folder / f"{number}.pid").read_text()), kind)
            return dict(zip(plan, ended(server, cases, folder), strict=True))

    yield until_signalled
    executor.shutdown()
    node.destroy_node()


def serve(executor, seconds):
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        executor.spin_once(timeout_sec=left)


@contextmanager
def serving(cases, folder):
    """The process whose children are the nodes; they end with the block."""
    server = begin(cases, folder)
    try:
        yield server
    finally:
        if server.poll() is None:
            for file in folder.glob("*.pid"):
                if not file.with_suffix(".status").exists():
                    with suppress(ProcessLookupError):
                        os.kill(int(file.read_text()), signal.SIGKILL)
            server.wait()


def test_signals_at_random_moments_while_frames_flow(flow, tmp_path):
    """Interrupted nodes end cleanly; a new one takes the place of one that was killed."""
    draw = random.Random(0)
    plan = {
        f"{kind.name.lower()}{number}": (kind, draw.randint(1, MOST_ANSWERS), draw.uniform(0, PERIOD))
        for kind in SIGNALS
        for number in range(ROUNDS)
    }
    for name, (status, said) in flow(plan, tmp_path / "first").items():
        assert status == (-signal.SIGKILL if plan[name][0] == signal.SIGKILL else 0), (name, said)
        assert not any(word in said for word in ("Traceback", "ERROR", "WARN")), (name, said)
    again = {name: (signal.SIGINT, 5, 0.0) for name, (kind, *_) in plan.items() if kind == signal.SIGKILL}
    for name, (status, said) in flow(again, tmp_path / "second").items():
        assert (status, "Traceback" in said) == (0, False), (name, said)

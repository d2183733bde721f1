"""Play images to the real node in a process of its own, over DDS, and record what it answers."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image

from vidseg_ros.bags.reader import IMAGE_TYPE
from vidseg_ros.bags.writer import BagWriter
from vidseg_ros.errors import UserError
from vidseg_ros.ros.diagnostics import TIMES
from vidseg_ros.ros.film import REMEMBERED, DemoFilm
from vidseg_ros.ros.sources import Source

NAMESPACE = "/vidseg_demo"  # followed by the number of the process
OUTPUTS = ("label", "color", "overlay")
ANSWERS_DEPTH = 1000  # answers wait here while the next image is made
START_TIMEOUT = 90.0  # seconds until the node must be ready
FRAME_TIMEOUT = 30.0  # seconds until a frame must be answered when nothing may be dropped
REPORT_TIMEOUT = 15.0  # seconds until the node must have reported on all frames
FRESH_REPORTS = 3  # the first may be older than the last frame
CAMERA_QOS = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.RELIABLE)


@dataclass
class Outcome:
    """What the demo saw from outside, and what the node said of itself."""

    sent: int = 0
    labels: int = 0
    latency_ms: list[float] = field(default_factory=list)
    node: dict[str, str] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        """Return the figures; latency is from publishing an image to receiving its labels."""
        counters = {name: int(self.node[name]) for name in ("received", "processed", "dropped", "rejected")}
        latency: dict[str, float | None] = {"p50": None, "p95": None}
        if self.latency_ms:
            latency = {f"p{p}": round(float(np.percentile(self.latency_ms, p)), 2) for p in (50, 95)}
        return {
            "frames": {"sent": self.sent, **counters, "labels": self.labels},
            "latency_ms": latency,
            **{name: self._percentiles(name) for name in TIMES},
            "resets": int(self.node["resets"]),
        }

    def _percentiles(self, name: str) -> dict[str, float | None]:
        """Return what the node said of one of its times."""
        return {f"p{p}": float(self.node[f"{name}_p{p}"]) if self.latency_ms else None for p in (50, 95)}


class NodeProcess:
    """The segmentation node in a process of its own; its messages go to a file."""

    def __init__(self, namespace: str, parameters: dict[str, Any], log: Path) -> None:
        settings = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
        command = [sys.executable, "-m", "vidseg_ros.ros.node", "--ros-args", "-r", f"__ns:={namespace}", *settings]
        self._log = log
        with log.open("w") as file:
            self._process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)

    def require_alive(self) -> None:
        """Raise UserError with the node's last words where it has ended."""
        if self._process.poll() is not None:
            raise self.problem(f"ended with status {self._process.returncode}")

    def problem(self, what: str) -> UserError:
        """Return the error that quotes the node's last words."""
        words = self._log.read_text(errors="replace").strip().splitlines() or ["nothing"]
        return UserError(f"the node {what}; it said last: {words[-1]} (all of it: {self._log})")

    def stop(self) -> int:
        """Interrupt the node and wait; kill it if it hangs. Returns its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class Demo:
    """Publishes the images of a source, and receives and records the results."""

    def __init__(self, namespace: str, source: Source, output: Path) -> None:
        self._source = source
        self._name = f"{namespace}/segmentation"
        self._outcome = Outcome()
        self._reports = self._served = 0
        self._failure = ""
        self._pending: OrderedDict[int, int] = OrderedDict()
        self._answers: dict[int, set[str]] = {}
        self._node = rclpy.create_node("demo", namespace=namespace)
        self._bag = BagWriter(output / "bag", {f"{self._name}/{name}": IMAGE_TYPE for name in OUTPUTS}, "vidseg_demo")
        self._film = DemoFilm(output / "demo.mp4", source.fps)
        topic, kind = ("image/compressed", CompressedImage) if source.compressed else ("image", Image)
        self._publisher = self._node.create_publisher(kind, topic, CAMERA_QOS)
        self._answering = [
            self._node.create_subscription(
                Image, f"segmentation/{name}", partial(self._on_answer, name), ANSWERS_DEPTH, raw=True
            )
            for name in OUTPUTS
        ]
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def run(self, process: NodeProcess, rate: float | None, progress: Callable[[], None]) -> Outcome:
        """Play everything: at ``rate`` Hz, or each frame after the answer to the one before. Raises UserError."""
        with self._bag, self._film:
            self._wait_for_node(process)
            start = time.monotonic()
            for index, message in enumerate(self._source.messages):
                if rate is not None:
                    self._spin_until(lambda: False, start + index / rate - time.monotonic())
                self._send(message, wait=rate is None)
                process.require_alive()
                progress()
            self._reports = 0
            if not self._spin_until(self._complete, REPORT_TIMEOUT) and not self._settled():
                raise process.problem(f"did not report on all frames within {REPORT_TIMEOUT:.0f} s")
        return self._outcome

    def _wait_for_node(self, process: NodeProcess) -> None:
        """Wait until the node listens and has found us, and all its outputs are heard."""
        deadline = time.monotonic() + START_TIMEOUT
        while not (self._outcome.node and self._connected()):
            self._spin_until(lambda: False, 0.1)
            process.require_alive()
            if self._failure:
                raise process.problem(f"does not start ({self._failure})")
            if time.monotonic() > deadline:
                raise process.problem(f"is not ready after {START_TIMEOUT:.0f} s")

    def _connected(self) -> bool:
        heard = all(subscription.get_publisher_count() for subscription in self._answering)
        found = self._reported("publishers") > 0 and self._reported("listeners") == len(OUTPUTS)
        return heard and found and bool(self._publisher.get_subscription_count())

    def _complete(self) -> bool:
        """Tell whether the node has settled and all its labels have arrived."""
        return self._settled() and self._outcome.labels == self._reported("processed")

    def _settled(self) -> bool:
        """Tell whether the node has freshly reported on all that it received."""
        done = sum(map(self._reported, ("processed", "dropped", "rejected")))
        return self._reports >= FRESH_REPORTS and self._reported("received") == done

    def _reported(self, counter: str) -> int:
        return int(self._outcome.node[counter])

    def _send(self, message: Any, wait: bool) -> None:
        stamp = nanoseconds(message)
        self._film.expect(stamp, message)
        self._answers[stamp] = set()
        self._pending[stamp] = time.time_ns()
        while len(self._pending) > REMEMBERED:
            self._answers.pop(self._pending.popitem(last=False)[0], None)
        rejected = self._reported("rejected")
        self._publisher.publish(message)
        self._outcome.sent += 1
        if wait:
            self._spin_until(lambda: self._is_answered(stamp) or self._reported("rejected") > rejected, FRAME_TIMEOUT)

    def _is_answered(self, stamp: int) -> bool:
        return len(self._answers.get(stamp, OUTPUTS)) == len(OUTPUTS)

    def _on_answer(self, output: str, data: bytes, info: dict[str, int]) -> None:
        self._served += 1
        message = deserialize_message(data, Image)
        stamp = nanoseconds(message)
        self._bag.write(f"{self._name}/{output}", stamp, data)
        self._answers.get(stamp, set()).add(output)
        if output == "label":
            self._outcome.labels += 1
            if stamp in self._pending:
                self._outcome.latency_ms.append(1e-6 * (info["received_timestamp"] - self._pending[stamp]))
        if output == "color":
            self._film.show(stamp, message)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self._served += 1
        for status in message.status:
            if status.name.startswith(f"{self._name}: ") and status.values:
                self._outcome.node = {pair.key: pair.value for pair in status.values}
                self._reports += 1
            elif status.name == self._name and status.level != DiagnosticStatus.OK:
                self._failure = status.message

    def _spin_until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Serve callbacks until ``done``, for ``seconds`` or until none waits; returns whether it was done."""
        deadline = time.monotonic() + seconds
        while not done():
            left, served = deadline - time.monotonic(), self._served
            rclpy.spin_once(self._node, timeout_sec=min(max(left, 0.0), 0.1))
            if left <= 0 and self._served == served:
                return False
        return True


def nanoseconds(message: Any) -> int:
    """Return the stamp of a message."""
    return int(message.header.stamp.sec * 10**9 + message.header.stamp.nanosec)

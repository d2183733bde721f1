"""Play images to the real node in a process of its own, over DDS, and take its answers."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image

from vidseg_ros.ros.conversions import nanoseconds
from vidseg_ros.ros.diagnostics import TIMES
from vidseg_ros.ros.process import NodeProcess
from vidseg_ros.ros.sources import Source

REMEMBERED = 64  # sent frames that wait for their answers
ANSWERS_DEPTH = 1000  # answers wait here while the next image is made
START_TIMEOUT = 90.0  # seconds until the node must be ready
FRAME_TIMEOUT = 30.0  # seconds until a frame must be answered when nothing may be dropped
REPORT_TIMEOUT = 15.0  # seconds until the node must have reported on all frames
FRESH_REPORTS = 3  # the first may be older than the last frame
CAMERA_QOS = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.RELIABLE)


@dataclass
class Outcome:
    """What was seen from outside, and what the node said of itself."""

    sent: int = 0
    labels: int = 0
    first_label: float = 0.0  # when it came, of time.monotonic()
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


class Listener:
    """Hears what is sent and answered; this one does nothing."""

    outputs: Sequence[str] = ("label",)

    def sent(self, stamp: int, message: Any) -> None:
        """Hear of an image message before it is published; ``stamp`` in nanoseconds."""

    def answered(self, output: str, stamp: int, message: Any, data: bytes) -> None:
        """Hear of an answer, and of its serialised form."""


class Player:
    """Publishes the images of a source, receives the answers and tells a listener."""

    def __init__(self, namespace: str, source: Source, listener: Listener) -> None:
        self._source = source
        self._name = f"{namespace}/segmentation"
        self._outcome = Outcome()
        self._reports = self._served = 0
        self._failure = ""
        self._pending: OrderedDict[int, int] = OrderedDict()
        self._answers: dict[int, set[str]] = {}
        self._listener = listener
        self._node = rclpy.create_node("player", namespace=namespace)
        topic, kind = ("image/compressed", CompressedImage) if source.compressed else ("image", Image)
        self._publisher = self._node.create_publisher(kind, topic, CAMERA_QOS)
        self._answering = [
            self._node.create_subscription(
                Image, f"segmentation/{name}", partial(self._on_answer, name), ANSWERS_DEPTH, raw=True
            )
            for name in listener.outputs
        ]
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def run(self, process: NodeProcess, rate: float | None, progress: Callable[[], None]) -> Outcome:
        """Play everything: at ``rate`` Hz, or each frame after the answer to the one before. Raises UserError."""
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

    def close(self) -> None:
        """Give the topics back."""
        self._node.destroy_node()

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
        found = self._reported("publishers") > 0 and self._reported("listeners") == len(self._listener.outputs)
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
        self._listener.sent(stamp, message)
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
        return len(self._answers.get(stamp, self._listener.outputs)) == len(self._listener.outputs)

    def _on_answer(self, output: str, data: bytes, info: dict[str, int]) -> None:
        self._served += 1
        message = deserialize_message(data, Image)
        stamp = nanoseconds(message)
        self._listener.answered(output, stamp, message, data)
        self._answers.get(stamp, set()).add(output)
        if output == "label":
            self._outcome.labels += 1
            self._outcome.first_label = self._outcome.first_label or time.monotonic()
            if stamp in self._pending:
                self._outcome.latency_ms.append(1e-6 * (info["received_timestamp"] - self._pending[stamp]))

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

"""Play images of one or several cameras to the real node in a process of its own, over DDS, and take its answers."""

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
from vidseg_ros.ros.diagnostics import ONLY_CAMERA, TIMES
from vidseg_ros.ros.harness.process import NodeProcess
from vidseg_ros.ros.harness.sources import MessageSource

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


class Spinner:
    """Spins the nodes of all players that share it."""

    def __init__(self) -> None:
        self.executor = rclpy.get_global_executor()
        self.served = 0

    def until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Serve callbacks until ``done``, for ``seconds`` or until none waits; returns whether it was done."""
        deadline = time.monotonic() + seconds
        while not done():
            left, served = deadline - time.monotonic(), self.served
            self.executor.spin_once(timeout_sec=min(max(left, 0.0), 0.1))
            if left <= 0 and self.served == served:
                return False
        return True


class Player:
    """Publishes the images of a source as those of ``camera``, receives the answers and tells a listener."""

    def __init__(
        self,
        namespace: str,
        source: MessageSource,
        listener: Listener,
        camera: str = "",
        spinner: Spinner | None = None,
    ) -> None:
        self.messages = source.messages
        self.outcome = Outcome()
        self.spinner = spinner or Spinner()
        self._name = f"{namespace}/segmentation"
        self._status = f"{self._name}: {camera or ONLY_CAMERA}"
        self._reports = 0
        self._failure = ""
        self._pending: OrderedDict[int, int] = OrderedDict()
        self._answers: dict[int, set[str]] = {}
        self._listener = listener
        self._node = rclpy.create_node(f"player_{camera}" if camera else "player", namespace=namespace)
        self.spinner.executor.add_node(self._node)
        prefix = f"{camera}/" if camera else ""
        topic, kind = ("image/compressed", CompressedImage) if source.compressed else ("image", Image)
        self._publisher = self._node.create_publisher(kind, prefix + topic, CAMERA_QOS)
        self._answering = [
            self._node.create_subscription(
                Image, f"segmentation/{prefix}{name}", partial(self._on_answer, name), ANSWERS_DEPTH, raw=True
            )
            for name in listener.outputs
        ]
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def close(self) -> None:
        """Give the topics back."""
        self.spinner.executor.remove_node(self._node)
        self._node.destroy_node()

    def wait_for_node(self, process: NodeProcess) -> None:
        """Wait until the node listens and has found us, and all its outputs are heard."""
        deadline = time.monotonic() + START_TIMEOUT
        while not (self.outcome.node and self._connected()):
            self.spinner.until(lambda: False, 0.1)
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
        return self._settled() and self.outcome.labels == self._reported("processed")

    def _settled(self) -> bool:
        """Tell whether the node has freshly reported on all that it received."""
        done = sum(map(self._reported, ("processed", "dropped", "rejected")))
        return self._reports >= FRESH_REPORTS and self._reported("received") == done

    def _reported(self, counter: str) -> int:
        return int(self.outcome.node[counter])

    def settle(self, process: NodeProcess) -> None:
        """Wait until the node has reported on everything that was sent. Raises UserError."""
        self._reports = 0
        if not self.spinner.until(self._complete, REPORT_TIMEOUT) and not self._settled():
            raise process.problem(f"did not report on all frames within {REPORT_TIMEOUT:.0f} s")

    def send(self, message: Any, wait: bool) -> None:
        """Publish an image; ``wait`` for its answers."""
        stamp = nanoseconds(message)
        self._listener.sent(stamp, message)
        self._answers[stamp] = set()
        self._pending[stamp] = time.time_ns()
        while len(self._pending) > REMEMBERED:
            self._answers.pop(self._pending.popitem(last=False)[0], None)
        rejected = self._reported("rejected")
        self._publisher.publish(message)
        self.outcome.sent += 1
        if wait:
            self.spinner.until(lambda: self._is_answered(stamp) or self._reported("rejected") > rejected, FRAME_TIMEOUT)

    def _is_answered(self, stamp: int) -> bool:
        return len(self._answers.get(stamp, self._listener.outputs)) == len(self._listener.outputs)

    def _on_answer(self, output: str, data: bytes, info: dict[str, int]) -> None:
        self.spinner.served += 1
        message = deserialize_message(data, Image)
        stamp = nanoseconds(message)
        self._listener.answered(output, stamp, message, data)
        self._answers.get(stamp, set()).add(output)
        if output == "label":
            self.outcome.labels += 1
            self.outcome.first_label = self.outcome.first_label or time.monotonic()
            if stamp in self._pending:
                self.outcome.latency_ms.append(1e-6 * (info["received_timestamp"] - self._pending[stamp]))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.spinner.served += 1
        for status in message.status:
            if status.name == self._status and status.values:
                self.outcome.node = {pair.key: pair.value for pair in status.values}
                self._reports += 1
            elif status.name == self._name and status.level != DiagnosticStatus.OK:
                self._failure = status.message


def play(players: Sequence[Player], process: NodeProcess, rate: float | None, progress: Callable[[], None]) -> None:
    """Play one image of each player after another: at ``rate`` Hz each, or each image after the answer to the last.

    Players that play together share a spinner. ``progress`` is called after each image of all. Raises UserError.
    """
    for player in players:
        player.wait_for_node(process)
    start = time.monotonic()
    for index, messages in enumerate(zip(*(player.messages for player in players), strict=True)):
        if rate is not None:
            players[0].spinner.until(lambda: False, start + index / rate - time.monotonic())
        for player, message in zip(players, messages, strict=True):
            player.send(message, wait=rate is None)
        process.require_alive()
        progress()
    for player in players:
        player.settle(process)

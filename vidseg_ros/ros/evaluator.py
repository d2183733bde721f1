"""The node ``evaluator``: compares label images with a simulator's ground truth while they come."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from numpy.typing import NDArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from vidseg_ros.carla_labels import DECODERS, INTERFACES, find_tags
from vidseg_ros.checkpoint import require_writable, write_whole
from vidseg_ros.config import require_one_of
from vidseg_ros.evaluation import Scores
from vidseg_ros.labels import CAMVID, IGNORE, find_label_set
from vidseg_ros.ros.diagnostics import WINDOW, make_status
from vidseg_ros.ros.pairs import Pairs
from vidseg_ros.ros.spin import run

CHANNELS = {"mono8": 1, "bgra8": 4}
QOS = QoSProfile(depth=10)
PERIOD = 1.0  # s between two reports
CARLA_VERSION = "0.9.16"


class EvaluatorNode(Node):
    """Matches ``label`` and ``semantic`` by stamp; publishes ``~/score`` and diagnostics; writes JSON at the end."""

    def __init__(self, **options: Any) -> None:
        super().__init__("evaluator", **options)
        self._labels = find_label_set(self.declare_parameter("label_set", CAMVID.name).value)
        self._tags = find_tags(self.declare_parameter("carla_version", CARLA_VERSION).value)
        interface = self.declare_parameter("interface", "bridge").value
        require_one_of("interface", interface, INTERFACES)
        self._decode = DECODERS[INTERFACES[interface]]
        report = self.declare_parameter("report", "").value
        self._report = Path(report) if report else None
        if self._report is not None:
            require_writable(self._report)
        self._score = Scores(self._labels, windows=())
        self._pairs: Pairs[tuple[NDArray[np.uint8], float]] = Pairs(("label", "semantic"))
        self._rejected = self._jumps = 0
        self._latency: dict[str, deque[float]] = {name: deque(maxlen=WINDOW) for name in ("sim_ms", "wall_ms")}
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._publisher = self.create_publisher(DiagnosticStatus, "~/score", 1)
        self.create_subscription(Image, "label", lambda message: self._take("label", message), QOS)
        self.create_subscription(Image, "semantic", lambda message: self._take("semantic", message), QOS)
        self.create_timer(PERIOD, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _take(self, kind: str, message: Image) -> None:
        stamp, now = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec, time.perf_counter()
        pixels = self._pixels(message, "mono8" if kind == "label" else "bgra8")
        if pixels is None:
            return
        if kind == "semantic":
            pixels = self._decode(pixels, self._tags, self._labels)
        else:
            self._latency["sim_ms"].append(1e-6 * (self.get_clock().now().nanoseconds - stamp))
        partner = self._pairs.put(kind, stamp, (pixels, now))
        if self._pairs.jumps > self._jumps:
            self._jumps = self._pairs.jumps
            self._score.begin()
            self.get_logger().info("time ran back: the next frame follows none")
        if partner is not None:
            self._compare(*((pixels, partner[0]) if kind == "label" else (partner[0], pixels)))
            self._latency["wall_ms"].append(1e3 * (now - partner[1]) * (1 if kind == "label" else -1))

    def _pixels(self, message: Image, encoding: str) -> NDArray[np.uint8] | None:
        """Return uint8 (H, W) or (H, W, 4), or None for an image that is not what it should be."""
        row = message.width * CHANNELS[encoding]
        if message.encoding != encoding or message.step < row or len(message.data) != message.step * message.height:
            self._reject(f"{message.width}x{message.height} {message.encoding} image; expected {encoding}")
            return None
        rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)[:, :row]
        return rows if encoding == "mono8" else rows.reshape(message.height, message.width, 4)

    def _compare(self, labels: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
        if labels.shape != truth.shape:
            self._reject(f"labels of {labels.shape[::-1]} pixels for a truth of {truth.shape[::-1]}")
        elif (truth == IGNORE).all():
            self._reject("ground truth without a known tag; check interface and carla_version")
        else:
            self._score.add(labels, truth)

    def _reject(self, problem: str) -> None:
        self._rejected += 1
        self.get_logger().warning(f"frame rejected: {problem}", throttle_duration_sec=5.0)

    def figures(self) -> dict[str, Any]:
        """Return what was measured so far; times in milliseconds from the picture to its labels."""
        latency = {
            name: {f"p{p}": round(float(np.percentile(times, p)), 2) if times else None for p in (50, 95)}
            for name, times in ((name, list(times)) for name, times in self._latency.items())
        }
        counts = {"frames": self._score.frames, "rejected": self._rejected, "jumps": self._jumps}
        lost = {f"{kind}_without_partner": count for kind, count in self._pairs.lost.items()}
        return {**self._score.report(), **counts, **lost, "latency": latency}

    def _publish(self) -> None:
        figures = self.figures()
        times = {f"{name}_{p}": value for name, row in figures.pop("latency").items() for p, value in row.items()}
        by_class = {f"iou {name}": value for name, value in figures.pop("per_class").items()}
        values = {name: str(value) for name, value in (figures | by_class | times).items()}
        level, text = (
            (DiagnosticStatus.OK, "evaluating") if self._score.frames else (DiagnosticStatus.WARN, "no pair yet")
        )
        status = make_status(self.get_fully_qualified_name(), "", level, text, values)
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)
        self._publisher.publish(status)

    def finish(self) -> None:
        """Write the figures."""
        if self._report is not None:
            write_whole(self._report, (json.dumps(self.figures(), indent=2) + "\n").encode())


def main(arguments: list[str] | None = None) -> int:
    """Run the node; returns the exit code."""
    return run(EvaluatorNode, "evaluator", arguments)


if __name__ == "__main__":
    sys.exit(main())

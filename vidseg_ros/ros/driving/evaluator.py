"""The node ``evaluator``: compares label images with a simulator's ground truth while they come."""

from __future__ import annotations

import sys
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from numpy.typing import NDArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image

from vidseg_ros.carla.labels import DECODERS, INTERFACES, find_tags
from vidseg_ros.errors import UserError
from vidseg_ros.files import require_writable
from vidseg_ros.io.image_messages import BadFrame, find_decoder, image_to_rgb
from vidseg_ros.labels import CAMVID, IGNORE, LABEL_SETS, find_label_set
from vidseg_ros.replay.online_evaluator import OnlineEvaluator
from vidseg_ros.replay.report import REPORT
from vidseg_ros.ros.conversions import exact_pixels, nanoseconds
from vidseg_ros.ros.diagnostics import make_status
from vidseg_ros.ros.driving.exact_time import ExactTimeSynchronizer
from vidseg_ros.ros.parameters import declare_parameters, parameter, read_parameters
from vidseg_ros.ros.spin import run
from vidseg_ros.schema import require_one_of
from vidseg_ros.stream import StreamConfig

Ids = NDArray[np.uint8]

QOS = QoSProfile(depth=10)
PICTURE_QOS = QoSProfile(depth=10, reliability=QoSReliabilityPolicy.BEST_EFFORT)  # heard from every camera
PERIOD = 1.0  # s between two messages with the running figures
PICTURES = 30  # that wait for their labels


@dataclass(frozen=True)
class EvaluatorConfig:
    """Parameters of the node. Values are taken when it starts."""

    label_set: str = parameter(CAMVID.name, f"Label set of the labels: {', '.join(LABEL_SETS)}", fixed=True)
    interface: str = parameter("bridge", f"Encoding of the ground truth: {', '.join(INTERFACES)}", fixed=True)
    carla_version: str = parameter("0.9.16", "Decides what semantic tags and colours mean", fixed=True)
    max_gap: float = parameter(
        StreamConfig.max_gap, "Seconds between frames that are not compared with each other", 0.001, 3600.0, fixed=True
    )
    report: str = parameter("", "Folder of the report, written at the end; empty: none", fixed=True)

    def __post_init__(self) -> None:
        require_one_of("interface", self.interface, INTERFACES)
        if self.report:
            require_writable(Path(self.report) / REPORT)


class EvaluatorNode(Node):
    """Matches ``label`` and ``semantic`` by stamp; publishes ``~/score`` and diagnostics; writes a report at the end.

    The pictures of the report are those of ``image``; without that topic they show label colours alone.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("evaluator", **options)
        declare_parameters(self, EvaluatorConfig)
        self._config = read_parameters(self, EvaluatorConfig)
        self._labels = find_label_set(self._config.label_set)
        self._tags = find_tags(self._config.carla_version)
        self._decode, self._decode_picture = DECODERS[INTERFACES[self._config.interface]], find_decoder()
        self._live = OnlineEvaluator(self._labels, self._config.max_gap, reported=bool(self._config.report))
        self._pairs: ExactTimeSynchronizer[tuple[Ids, int]] = ExactTimeSynchronizer(("label", "semantic"))
        self._pictures: OrderedDict[int, Image] = OrderedDict()
        self._rejected = 0
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._publisher = self.create_publisher(DiagnosticStatus, "~/score", 1)
        if self._config.report:  # before the others: a picture shall be there when its labels are
            self.create_subscription(Image, "image", self._on_picture, PICTURE_QOS)
        self._topics = (
            self.create_subscription(Image, "label", self._on_label, QOS).topic_name,
            self.create_subscription(Image, "semantic", self._on_semantic, QOS).topic_name,
        )
        self.create_timer(PERIOD, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_label(self, message: Image, info: dict[str, int]) -> None:
        if (labels := self._pixels(message, "mono8")) is not None and self._knows(labels):
            now = self.get_clock().now().nanoseconds
            self._live.took("sim_ms", 1e-6 * (now - nanoseconds(message)))
            self._match("label", message, labels, info["received_timestamp"])

    def _on_semantic(self, message: Image, info: dict[str, int]) -> None:
        if (pixels := self._pixels(message, "bgra8")) is not None:
            truth = self._decode(pixels, self._tags, self._labels)
            self._match("semantic", message, truth, info["received_timestamp"])

    def _on_picture(self, message: Image) -> None:
        self._pictures[nanoseconds(message)] = message
        if len(self._pictures) > PICTURES:
            self._pictures.popitem(last=False)

    def _match(self, kind: str, message: Image, ids: Ids, received: int) -> None:
        """Compare what has found its partner; ``received`` is in ns of real time."""
        stamp = nanoseconds(message)
        if (partner := self._pairs.put(kind, stamp, (ids, received))) is None:
            return
        of = {kind: (ids, received), "semantic" if kind == "label" else "label": partner}
        (labels, answered), (truth, known) = of["label"], of["semantic"]
        self._live.took("wall_ms", 1e-6 * (answered - known))
        if labels.shape != truth.shape:
            self._reject(f"labels of {labels.shape[::-1]} pixels for a truth of {truth.shape[::-1]}")
        elif (truth == IGNORE).all():
            self._reject("ground truth without a known tag; check interface and carla_version")
        elif reason := self._live.add(stamp, labels, truth, self._picture(stamp)):
            self.get_logger().info(f"{reason}: not compared with the frame before")

    def _picture(self, stamp: int) -> Ids | None:
        message = self._pictures.pop(stamp, None)
        try:
            return None if message is None else image_to_rgb(message, self._decode_picture)
        except BadFrame as error:
            self.get_logger().warning(f"picture left out: {error}", throttle_duration_sec=5.0)
            return None

    def _pixels(self, message: Image, encoding: str) -> Ids | None:
        try:
            return exact_pixels(message, encoding)
        except BadFrame as error:
            self._reject(str(error))
            return None

    def _knows(self, labels: Ids) -> bool:
        try:
            self._labels.require_known(labels)
        except UserError as error:
            self._reject(str(error))
            return False
        return True

    def _reject(self, problem: str) -> None:
        self._rejected += 1
        self.get_logger().warning(f"frame rejected: {problem}", throttle_duration_sec=5.0)

    def _counts(self) -> dict[str, int]:
        lost = self._pairs.lost
        return {"rejected": self._rejected, "unmatched": lost["label"], "unanswered": lost["semantic"]}

    def figures(self) -> dict[str, Any]:
        """Return what was measured so far: percent, counts of frames and milliseconds."""
        return self._live.figures() | self._counts()

    def _publish(self) -> None:
        figures = self.figures()
        times = {f"{name}_{p}": value for name, row in figures.pop("latency").items() for p, value in row.items()}
        by_class = {f"iou {name}": value for name, value in figures.pop("per_class").items()}
        values = {name: str(value) for name, value in (figures | by_class | times).items()}
        level, text = (
            (DiagnosticStatus.OK, "evaluating") if self._live.frames else (DiagnosticStatus.WARN, "no pair yet")
        )
        status = make_status(self.get_fully_qualified_name(), "", level, text, values)
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)
        self._publisher.publish(status)

    def finish(self) -> None:
        """Write the report. Raises UserError."""
        if not self._config.report:
            return
        if not self._live.frames:
            self.get_logger().warning("no report: no labels met their ground truth")
            return
        self._pairs.give_up()
        missing = self._live.without_picture
        problems = [f"{missing} of {self._live.frames} frames came without their picture"] if missing else []
        self._live.report(Path(self._config.report), self._topics, asdict(self._config), self._counts(), problems)


def main(arguments: list[str] | None = None) -> int:
    """Run the node; returns the exit code."""
    return run(EvaluatorNode, "evaluator", EvaluatorConfig, arguments)


if __name__ == "__main__":
    sys.exit(main())

"""One camera of the node: its topics, its stream and its statistics."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from rclpy.validate_topic_name import validate_topic_name
from sensor_msgs.msg import CompressedImage, Image

from vidseg_ros.engines import Engine
from vidseg_ros.errors import describe
from vidseg_ros.io.frame import Frame
from vidseg_ros.io.image_messages import Decoder, compressed_picture, raw_picture
from vidseg_ros.io.pictures import blend
from vidseg_ros.ros.conversions import to_image
from vidseg_ros.ros.diagnostics import ONLY_CAMERA, Reporter, Statistics
from vidseg_ros.ros.parameters import Parameters
from vidseg_ros.ros.segmentation.received import Received, read_stamp
from vidseg_ros.stream import FrameStream, Segmentation

OUTPUTS = ("label", "color", "overlay", "confidence")
WARN_PERIOD = 5.0  # seconds between two warnings of a kind


def qos(reliability: QoSReliabilityPolicy) -> QoSProfile:
    """Return a profile of its own for each topic: rclpy writes overrides into it."""
    return QoSProfile(depth=1, reliability=reliability)


class Camera:
    """Subscription and publishers of camera ``name``; "" is the only camera, with plain topic names."""

    def __init__(self, node: LifecycleNode, name: str, engine: Engine, parameters: Parameters) -> None:
        self.name = name or ONLY_CAMERA
        self.stream = FrameStream(engine, parameters.stream)
        self.statistics = Statistics()
        self.reset_requested = False
        self._prefix = f"{name}/" if name else ""
        self._node = node
        self._labels = engine.labels
        self._opacity = parameters.overlay_opacity
        self._message_type = CompressedImage if parameters.image_transport == "compressed" else Image
        validate_topic_name(f"{self._prefix}image")
        resolve = compressed_topic if self._message_type is CompressedImage else LifecycleNode.resolve_topic_name
        self.topic = resolve(node, f"{self._prefix}image")
        self._reporter = Reporter(f"{node.get_fully_qualified_name()}: {self.name}", self.name, self.topic)
        self.publishers: dict[str, LifecyclePublisher] = {}
        self.subscription: Subscription | None = None
        self._last_stamp: int | None = None
        self._skipped: Received | None = None  # held no usable image; a jump of its stamp still counts
        self._last_warning: dict[str, float] = {}

    def create_topics(self, on_image: Callable[[bytes], None]) -> None:
        """Create publishers and subscription; ``on_image`` gets serialised messages, on the thread of the executor."""
        overridable = QoSOverridingOptions.with_default_policies()
        for output in OUTPUTS:
            topic = f"~/{self._prefix}{output}"
            self.publishers[output] = self._node.create_lifecycle_publisher(
                Image, topic, qos(QoSReliabilityPolicy.RELIABLE), qos_overriding_options=overridable
            )
        self.subscription = self._node.create_subscription(
            self._message_type,
            self.topic,
            on_image,
            qos(QoSReliabilityPolicy.BEST_EFFORT),
            qos_overriding_options=overridable,
            raw=True,
        )

    def wants(self, output: str) -> bool:
        """Tell whether somebody listens to ``output``."""
        return bool(self.publishers[output].get_subscription_count())

    def receive(self, data: bytes) -> Received:
        """Count a serialised message; its stamp is read without deserialising the rest."""
        self.statistics.received += 1
        stamp = read_stamp(data)
        elapsed = 0 if self._last_stamp is None else stamp - self._last_stamp
        if stamp == self._last_stamp:
            self.statistics.repeated += 1
            self._warn("repeat", f"stamp {stamp * 1e-9:.3f} repeats; the camera driver should stamp each image")
        self._last_stamp = stamp
        return Received(data, time.perf_counter(), elapsed)

    def read(self, received: Received, decoder: Decoder) -> tuple[Any, Frame]:
        """Return the message's header and its frame. Raises BadFrame."""
        received.laps.append(time.perf_counter())
        received = self._skipped = received.after(self._skipped) if self._skipped else received
        message = deserialize_message(received.data, self._message_type)
        if self._message_type is CompressedImage:
            rgb, family = compressed_picture(message)
        else:
            rgb, family = raw_picture(message, decoder)
        if self.reset_requested:
            self.reset("service called")
        self._skipped = None
        received.laps.append(time.perf_counter())
        return message.header, Frame(rgb, read_stamp(received.data), message.header.frame_id, family, received.elapsed)

    def publish(self, received: Received, header: Any, frame: Frame, result: Segmentation) -> None:
        """Publish what somebody listens to, with the header of the input, and count the frame."""
        received.laps.append(time.perf_counter())
        if self.wants("label"):
            self._send("label", result.labels, "mono8", header)
        if self.wants("color") or self.wants("overlay"):
            color = self._labels.colorize(result.labels)
            if self.wants("color"):
                self._send("color", color, "rgb8", header)
            if self.wants("overlay"):
                self._send("overlay", blend(frame.rgb, color, self._opacity), "rgb8", header)
        if result.confidence is not None and self.wants("confidence"):
            self._send("confidence", result.confidence, "mono8", header)
        received.laps.append(time.perf_counter())
        self._note(received, result)

    def _send(self, output: str, pixels: NDArray[np.uint8], encoding: str, header: Any) -> None:
        self.publishers[output].publish(to_image(pixels, encoding, header))

    def _note(self, received: Received, result: Segmentation) -> None:
        laps = [received.time, *received.laps]
        seconds = dict(zip(("queue_ms", "read_ms", "step_ms", "publish_ms"), np.diff(laps), strict=True))
        for name, value in (seconds | {"total_ms": laps[-1] - laps[0]}).items():
            self.statistics.times[name].append(1e3 * float(value))
        self.statistics.times["model_ms"].append(result.model_ms)
        self.statistics.times["flow_ms"].append(result.flow_ms)
        self.statistics.processed += 1
        self.statistics.recent.append(bool(result.reset))
        if result.reset:
            self._note_reset(result.reset)

    def reset(self, reason: str) -> None:
        """Forget the past; for the thread that runs the stream."""
        self.reset_requested = False
        self.stream.reset()
        self._note_reset(reason)

    def _note_reset(self, reason: str) -> None:
        self.statistics.resets += 1
        self.statistics.last_reset = reason
        if self._node.context.ok():  # else the end of the process interrupted the step
            self._node.get_logger().info(f"{self.name}: state reset: {reason}")

    def reject(self, problem: Exception) -> None:
        """Count a frame that could not be used; one that the end of the process interrupted is none."""
        if not self._node.context.ok():
            return
        self.statistics.rejected += 1
        self.statistics.last_problem = describe(problem)
        self._warn("reject", f"frame rejected: {self.statistics.last_problem}")

    def _warn(self, kind: str, text: str) -> None:
        """Log at most one warning of a kind every few seconds; rclpy's throttle would mix kinds and cameras."""
        now = time.monotonic()
        if now - self._last_warning.get(kind, -WARN_PERIOD) >= WARN_PERIOD:
            self._last_warning[kind] = now
            self._node.get_logger().warning(f"{self.name}: {text}")

    def report(self, active: bool) -> DiagnosticStatus:
        """Return what /diagnostics shall say of this camera."""
        publishers = self.subscription.get_publisher_count() if self.subscription else 0
        listeners = sum(map(self.wants, self.publishers))
        return self._reporter.status(self.statistics, active, {"publishers": publishers, "listeners": listeners})

    def destroy(self) -> None:
        """Give subscription and publishers back."""
        if self.subscription is not None:
            self._node.destroy_subscription(self.subscription)
        for publisher in self.publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)


def compressed_topic(node: LifecycleNode, image: str) -> str:
    """Where compressed images of the topic ``image`` come: as remapped itself, or beside the remapped ``image``."""
    topic = f"{image}/compressed"
    remapped = node.resolve_topic_name(topic)
    if remapped != node.resolve_topic_name(topic, only_expand=True):
        return str(remapped)
    return f"{node.resolve_topic_name(image)}/compressed"

"""One camera of the node: its topics, its stream and its statistics."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image

from vidseg_ros.engines import Engine
from vidseg_ros.labels import LabelSet
from vidseg_ros.ros.conversions import Decoder, compressed_to_rgb, encoding_family, image_to_rgb, to_image
from vidseg_ros.ros.diagnostics import Reporter, Statistics
from vidseg_ros.ros.parameters import Parameters
from vidseg_ros.stream import Frame, FrameStream, Segmentation

INPUT_QOS = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
OUTPUT_QOS = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.RELIABLE)
OUTPUTS = ("label", "color", "overlay", "confidence")


@dataclass(frozen=True)
class Received:
    """A serialised image message, and when it came."""

    data: bytes
    time: float = field(default_factory=time.perf_counter)


class Camera:
    """Subscription and publishers of camera ``name``; "" is the only camera, with plain topic names."""

    def __init__(self, node: LifecycleNode, name: str, engine: Engine, parameters: Parameters) -> None:
        prefix = f"{name}/" if name else ""
        self.name = name or "camera"
        self.stream = FrameStream(engine, parameters.stream)
        self.statistics = Statistics()
        self.reset_requested = False
        self.labels: LabelSet = engine.labels
        self._node = node
        self._opacity = parameters.overlay_opacity
        self.message_type = CompressedImage if parameters.image_transport == "compressed" else Image
        self.topic = prefix + ("image/compressed" if parameters.image_transport == "compressed" else "image")
        self.publishers: dict[str, LifecyclePublisher] = {
            output: node.create_lifecycle_publisher(
                Image,
                f"~/{prefix}{output}",
                OUTPUT_QOS,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for output in OUTPUTS
        }
        self.reporter = Reporter(f"{node.get_fully_qualified_name()}: {self.name}", self.name, self.topic)
        self._last_stamp: float | None = None

    def wants(self, output: str) -> bool:
        """Tell whether somebody listens to ``output``."""
        return bool(self.publishers[output].get_subscription_count())

    def read(self, received: Received, decoder: Decoder) -> tuple[Any, Frame]:
        """Return the message's header and its frame. Raises BadFrame."""
        message = deserialize_message(received.data, self.message_type)
        if self.message_type is CompressedImage:
            rgb, family = compressed_to_rgb(message), "compressed"
        else:
            rgb, family = image_to_rgb(message, decoder), encoding_family(message.encoding)
        stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        self._count_repeat(stamp)
        if self.reset_requested:
            self.reset_requested = False
            self.stream.reset()
        return message.header, Frame(rgb, stamp, message.header.frame_id, family)

    def _count_repeat(self, stamp: float) -> None:
        if stamp == self._last_stamp:
            self.statistics.repeated += 1
            self._warn(f"{self.name}: stamp {stamp:.3f} repeats; the camera driver should stamp each image")
        self._last_stamp = stamp

    def publish(self, header: Any, frame: Frame, result: Segmentation) -> None:
        """Publish what somebody listens to, with the header of the input."""
        if self.wants("label"):
            self._send("label", result.labels, "mono8", header)
        if self.wants("color") or self.wants("overlay"):
            color = self.labels.colorize(result.labels)
            if self.wants("color"):
                self._send("color", color, "rgb8", header)
            if self.wants("overlay"):
                self._send("overlay", blend(frame.rgb, color, self._opacity), "rgb8", header)
        if result.confidence is not None and self.wants("confidence"):
            self._send("confidence", result.confidence, "mono8", header)

    def _send(self, output: str, pixels: NDArray[np.uint8], encoding: str, header: Any) -> None:
        self.publishers[output].publish(to_image(pixels, encoding, header))

    def note(self, received: Received, result: Segmentation, model_ms: float) -> None:
        """Count a processed frame."""
        self.statistics.processed += 1
        self.statistics.model_ms.append(model_ms)
        self.statistics.total_ms.append(1e3 * (time.perf_counter() - received.time))
        if result.reset:
            self.note_reset(result.reset)

    def note_reset(self, reason: str) -> None:
        """Count and log that the past was forgotten."""
        self.statistics.resets += 1
        self._node.get_logger().info(f"{self.name}: state reset: {reason}")

    def reject(self, problem: Exception) -> None:
        """Count a frame that could not be used."""
        self.statistics.rejected += 1
        self.statistics.last_problem = str(problem)
        self._warn(f"{self.name}: frame rejected: {problem}")

    def _warn(self, text: str) -> None:
        self._node.get_logger().warning(text, throttle_duration_sec=5.0)

    def destroy(self) -> None:
        """Give the publishers back."""
        for publisher in self.publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)


def blend(rgb: NDArray[np.uint8], color: NDArray[np.uint8], opacity: float) -> NDArray[np.uint8]:
    """Mix label colours into a picture, both RGB uint8 (H, W, 3)."""
    return np.asarray(cv2.addWeighted(rgb, 1.0 - opacity, color, opacity, 0.0), np.uint8)

"""The node ``driver``: label image in -> vehicle control out."""

from __future__ import annotations

import sys
import time
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from vidseg_ros.driving.control import FULL_STOP
from vidseg_ros.driving.driver import Driver, DriverConfig
from vidseg_ros.driving.ground import GroundCamera
from vidseg_ros.errors import UserError
from vidseg_ros.io.image_messages import BadFrame
from vidseg_ros.labels import CAMVID, find_label_set
from vidseg_ros.ros.conversions import exact_pixels, nanoseconds
from vidseg_ros.ros.driving.control import find_control
from vidseg_ros.ros.parameters import declare_parameters, read_parameters
from vidseg_ros.ros.spin import run

CAMERA_HEIGHT = 1.4  # m above the road
PATIENCE = 3.0  # s of real time without labels


class DriverNode(Node):
    """Drives on every label image; where odometry says that labels stay away, it stops the vehicle."""

    def __init__(self, **options: Any) -> None:
        super().__init__("driver", **options)
        declare_parameters(self, DriverConfig)
        self._config = read_parameters(self, DriverConfig)
        self._height = float(self.declare_parameter("camera_height", CAMERA_HEIGHT).value)
        self._labels = find_label_set(self.declare_parameter("label_set", CAMVID.name).value)
        self._control = find_control(self.declare_parameter("control", "auto").value)
        self._driver: Driver | None = None
        self._speed, self._last = 0.0, float("inf")  # nothing to miss before the first label
        self._heard = float("inf")  # wall time, s
        self._publisher = self.create_publisher(self._control.message, self._control.topic, QoSProfile(depth=1))
        self.create_subscription(CameraInfo, "camera_info", self._on_camera, qos_profile_sensor_data)
        self.create_subscription(Odometry, "odometry", self._on_odometry, qos_profile_sensor_data)
        self.create_subscription(Image, "label", self._on_label, QoSProfile(depth=1))
        self.create_timer(PATIENCE, self._on_silence, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_camera(self, info: CameraInfo) -> None:
        if self._driver is not None:
            return
        try:
            camera = GroundCamera(info.k[0], (info.k[2], info.k[5]), self._height)
        except UserError as error:
            self.get_logger().error(str(error), throttle_duration_sec=5.0)
            return
        self._driver = Driver(self._labels, camera, self._config)

    def _on_odometry(self, odometry: Odometry) -> None:
        """Remember the speed; speak up only where labels stay away, which is what decides."""
        self._warn_of_nobody()
        self._speed, now = float(odometry.twist.twist.linear.x), 1e-9 * nanoseconds(odometry)
        if now - self._last > self._config.max_age:
            self._publisher.publish(self._control.write(FULL_STOP, self._speed, odometry.header))

    def _on_label(self, message: Image) -> None:
        if self._driver is None:
            self.get_logger().warning("no camera_info yet: cannot drive", throttle_duration_sec=5.0)
            return
        try:
            labels = exact_pixels(message, "mono8")
            self._labels.require_known(labels)
        except (BadFrame, UserError) as error:
            self.get_logger().error(f"label image left out: {error}", throttle_duration_sec=5.0)
            return
        self._warn_of_nobody()
        self._last, self._heard = 1e-9 * nanoseconds(message), time.monotonic()
        self._driver.see(labels, self._last, self._speed)
        control = self._driver.decide(self._last, self._speed)
        self._publisher.publish(self._control.write(control, self._speed, message.header))

    def _warn_of_nobody(self) -> None:
        if not self._publisher.get_subscription_count():
            self.get_logger().warning(
                f"nobody takes '{self._publisher.topic_name}': the vehicle is gone, or has another name or interface",
                throttle_duration_sec=5.0,
            )

    def _on_silence(self) -> None:
        """Say that the world stands still; a simulator that waits must not find the brakes on when it goes on."""
        if (silent := time.monotonic() - self._heard) > PATIENCE:
            self.get_logger().warning(
                f"no label for {silent:.0f} s of real time: the camera, the clock or the segmentation node has stopped",
                throttle_duration_sec=5.0,
            )

    def finish(self) -> None:
        """Leave nothing behind; the vehicle stops by itself when control stays away."""


def main(arguments: list[str] | None = None) -> int:
    """Run the node; returns the exit code."""
    return run(DriverNode, "driver", DriverConfig, arguments)


if __name__ == "__main__":
    sys.exit(main())

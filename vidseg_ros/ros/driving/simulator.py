"""The street world as a vehicle with cameras, on the topics of CARLA's ROS bridge."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import rclpy
from nav_msgs.msg import Odometry
from rclpy.exceptions import InvalidNamespaceException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.validate_namespace import validate_namespace
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from vidseg_ros.carla.labels import INTERFACES, encode
from vidseg_ros.driving.control import FULL_STOP, Control
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID
from vidseg_ros.ros.conversions import to_image
from vidseg_ros.ros.driving.control import TOPIC, Kind, readable_controls
from vidseg_ros.simulation.drive import Drive

RGB, SEMANTIC = "rgb_front", "semantic_segmentation_front"
QOS = QoSProfile(depth=10)  # reliable, as the bridge
PATIENCE = 2.0  # s of wall time until a step is taken without control
START_PATIENCE = 60.0  # s of wall time until the first step is
MAX_AGE = 1.0  # simulated s without control after which the vehicle brakes


class StreetSimulatorNode(Node):
    """Publishes what the vehicle sees, and moves it as it is told; ``drive`` keeps what happens to it.

    Raises UserError for a ``role`` that is no name.
    """

    def __init__(self, drive: Drive, role: str, interface: str, **options: Any) -> None:
        try:
            validate_namespace(namespace := f"/carla/{role}")
        except InvalidNamespaceException as error:
            raise UserError(f"role '{role}' cannot be part of a topic; use letters, digits and _") from error
        super().__init__("simulation", namespace=namespace, **options)
        self.drive, self._role, self._encoding = drive, role, INTERFACES[interface]
        self._cameras = {
            name: (self.create_publisher(Image, f"{name}/image", QOS),
                   self.create_publisher(CameraInfo, f"{name}/camera_info", QOS))
            for name in (RGB, SEMANTIC)
        }  # fmt: skip
        self._odometry = self.create_publisher(Odometry, "odometry", QOS)
        self._clock = self.create_publisher(Clock, "/clock", QOS)
        for kind in readable_controls():
            self.create_subscription(kind.message, kind.topic, lambda m, kind=kind: self._on_control(kind, m), QOS)
        self._control, self._told = FULL_STOP, -math.inf
        self._answered = False

    def run(self, frames: int, synchronous: bool, progress: Callable[[], None] = lambda: None) -> None:
        """Run ``frames`` frame periods: each as soon as control answers the last, or in real time."""
        if synchronous:
            self._wait_for_partners()
        start = time.monotonic()
        for index in range(frames):
            self._answered = False
            self._publish()
            due = start + (index + 1) / self.drive.world.config.fps
            deadline = time.monotonic() + PATIENCE if synchronous else due
            while not (synchronous and self._answered) and (left := deadline - time.monotonic()) > 0:
                rclpy.spin_once(self, executor=self.executor, timeout_sec=left)
            self.drive.step(self._control if self.drive.time - self._told <= MAX_AGE else FULL_STOP)
            progress()

    def _wait_for_partners(self) -> None:
        """Wait until somebody looks and somebody steers; stepping on would only brake the vehicle."""
        image, _ = self._cameras[RGB]
        steering = [s for s in self.subscriptions if TOPIC in s.topic_name]
        deadline = time.monotonic() + START_PATIENCE
        while not (image.get_subscription_count() and any(s.get_publisher_count() for s in steering)):
            if time.monotonic() > deadline:
                self.get_logger().warning("nobody looks or steers: going on without")
                return
            rclpy.spin_once(self, executor=self.executor, timeout_sec=0.1)

    def _on_control(self, kind: Kind, message: Any) -> None:
        assert kind.read is not None
        try:
            self._control = kind.read(message)
        except UserError as error:
            self._control = FULL_STOP
            self.get_logger().error(str(error), throttle_duration_sec=5.0)
        self._told, self._answered = self.drive.time, True

    def _publish(self) -> None:
        frame, header = self.drive.frame(), Header()
        header.stamp.sec, header.stamp.nanosec = divmod(round(frame.stamp * 1e9), 10**9)
        self._clock.publish(Clock(clock=header.stamp))
        self._odometry.publish(self._where(header))
        images = {
            RGB: cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGRA),
            SEMANTIC: encode(frame.labels, CAMVID, self._encoding),
        }
        for name, pixels in images.items():
            head = Header(stamp=header.stamp, frame_id=f"{self._role}/{name}")
            image, info = self._cameras[name]
            info.publish(self._intrinsics(head))
            image.publish(to_image(np.asarray(pixels, np.uint8), "bgra8", head))

    def _intrinsics(self, header: Header) -> CameraInfo:
        camera = self.drive.camera
        (cx, cy), f = camera.center, camera.focal
        info = CameraInfo(header=header, width=camera.width, height=camera.height, distortion_model="plumb_bob")
        info.d, info.r = [0.0] * 5, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        info.k = [f, 0.0, cx, 0.0, f, cy, 0.0, 0.0, 1.0]
        info.p = [f, 0.0, cx, 0.0, 0.0, f, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
        return info

    def _where(self, header: Header) -> Odometry:
        vehicle, road = self.drive.vehicle, self.drive.world.road
        odometry = Odometry(header=Header(stamp=header.stamp, frame_id="map"), child_frame_id=self._role)
        pose, twist = odometry.pose.pose, odometry.twist.twist
        pose.position.x, pose.position.y = road.place(vehicle.along, vehicle.across).tolist()
        yaw = vehicle.heading + float(road.heading(vehicle.along))
        pose.orientation.z, pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
        twist.linear.x, twist.angular.z = vehicle.speed, vehicle.yaw_rate
        return odometry

    def finish(self) -> None:
        """Leave nothing behind."""

    @property
    def control(self) -> Control:
        """What the vehicle was told last."""
        return self._control

"""The latched description of the labels that nav2's semantic segmentation layer reads."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile

from vidseg_ros.labels import LabelSet


def publish_label_info(node: Node, labels: LabelSet) -> Any:
    """Publish ``~/label_info`` where vision_msgs is installed; returns the publisher to keep, or None."""
    if find_spec("vision_msgs") is None:
        node.get_logger().info("vision_msgs is not installed: no ~/label_info")
        return None
    from vision_msgs.msg import LabelInfo, VisionClass  # noqa: PLC0415 - optional

    latched = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
    publisher = node.create_publisher(LabelInfo, "~/label_info", latched)
    message = LabelInfo()
    message.header.stamp = node.get_clock().now().to_msg()
    message.class_map = [VisionClass(class_id=i, class_name=name) for i, name in enumerate(labels.names)]
    publisher.publish(message)
    return publisher

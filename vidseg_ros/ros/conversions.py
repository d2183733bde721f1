"""Arrays to image messages of rclpy, and ids back; pictures are decoded by ``io.image_messages``."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from vidseg_ros.io.image_messages import BadFrame

CHANNELS = {"mono8": 1, "bgra8": 4}


def to_image(pixels: NDArray[np.uint8], encoding: str, header: Header) -> Image:
    """Make an Image of uint8 (H, W) or (H, W, C) pixels with ``header``, untouched.

    An array.array is 30 to 100 times as fast as bytes or a list.
    """
    data = array("B")
    data.frombytes(np.ascontiguousarray(pixels).data)
    height, width = pixels.shape[:2]
    step = len(data) // height
    return Image(header=header, height=height, width=width, encoding=encoding, step=step, data=data)


def nanoseconds(message: Any) -> int:
    """Return the stamp of a message."""
    return int(message.header.stamp.sec * 10**9 + message.header.stamp.nanosec)


def exact_pixels(message: Image, encoding: str) -> NDArray[np.uint8]:
    """Return the bytes of an Image of ids or tags, uint8 (H, W) of mono8 or (H, W, 4) of bgra8, without row padding.

    Nothing is converted: what is sent in another encoding is not what it should be. Raises BadFrame.
    """
    size, channels = f"{message.width}x{message.height}", CHANNELS[encoding]
    row = message.width * channels
    whole = len(message.data) == message.step * message.height and message.step >= row > 0 < message.height
    if message.encoding != encoding or not whole:
        raise BadFrame(f"{size} {message.encoding} image of {len(message.data)} bytes; publish {encoding}")
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)[:, :row]
    return rows if channels == 1 else rows.reshape(message.height, message.width, channels)

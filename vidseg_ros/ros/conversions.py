"""Arrays to image messages of rclpy; the way back is ``bags.decoding``."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header


def to_image(pixels: NDArray[np.uint8], encoding: str, header: Header) -> Image:
    """Make an Image of uint8 (H, W) or (H, W, C) pixels with ``header``, untouched.

    An array.array is 30 to 100 times as fast as bytes or a list.
    """
    data = array("B")
    data.frombytes(np.ascontiguousarray(pixels).data)
    height, width = pixels.shape[:2]
    step = len(data) // height
    return Image(header=header, height=height, width=width, encoding=encoding, step=step, data=data)

"""Image messages from arrays, serialised, without ROS."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.bags.reader import IMAGE_TYPE, TYPES

_IMAGE = TYPES.types[IMAGE_TYPE]
_HEADER = TYPES.types["std_msgs/msg/Header"]
_TIME = TYPES.types["builtin_interfaces/msg/Time"]


def image_data(pixels: NDArray[np.uint8], encoding: str, stamp: int, frame_id: str) -> memoryview:
    """Return an Image of uint8 (H, W) or (H, W, C) pixels, serialised; ``stamp`` in nanoseconds."""
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels).reshape(-1)
    header = _HEADER(stamp=_TIME(*divmod(stamp, 10**9)), frame_id=frame_id)
    message = _IMAGE(header, height, width, encoding, 0, len(data) // height, data)
    return TYPES.serialize_cdr(message, IMAGE_TYPE)

"""Image messages to RGB arrays, whoever deserialised them. The decoding is left to cv_bridge or rosbags-image."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.errors import UserError
from vidseg_ros.io.bag_reader import IMAGE_TYPE, TYPES
from vidseg_ros.io.images import decode_rgb, is_truncated

ALIASES = {"8UC3": "rgb8", "8UC1": "mono8"}  # what has no order of colours is read as the libraries do, alike
PLANAR = ("nv12", "nv21", "nv24")  # a plane of brightness, then one of colours: not rows of whole pixels


class BadFrame(UserError):  # noqa: N818 - it is the frame that is bad
    """A message that holds no usable image."""


@dataclass(frozen=True)
class Pixels:
    """What decoders read of an Image, without row padding."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any


class Decoder(Protocol):
    """An image conversion library."""

    def pixel_bytes(self, encoding: str) -> int:
        """Return the bytes of one pixel; raises any exception for an unknown encoding."""

    def to_rgb(self, message: Any) -> Any:
        """Return RGB, uint8 (H, W, 3), of a message without row padding; raises any exception where it cannot."""


class CvBridgeDecoder:
    """cv_bridge, as ROS 2 distributions have it."""

    def __init__(self) -> None:
        from cv_bridge import CvBridge  # noqa: PLC0415 - only distributions have it

        self._bridge = CvBridge()

    def pixel_bytes(self, encoding: str) -> int:
        """Ask cv_bridge for depth and channels."""
        dtype, channels = self._bridge.encoding_to_dtype_with_channels(encoding)
        return int(np.dtype(dtype).itemsize * channels)

    def to_rgb(self, message: Any) -> Any:
        """Let cv_bridge decode."""
        return self._bridge.imgmsg_to_cv2(message, "rgb8")


class RosbagsDecoder:
    """rosbags-image, from PyPI."""

    def __init__(self) -> None:
        from rosbags.image import image  # noqa: PLC0415 - absent where cv_bridge is used

        self._library = image

    def pixel_bytes(self, encoding: str) -> int:
        """Ask rosbags-image for depth and channels."""
        bits, _, _, channels = self._library.to_cvtype(encoding)
        return bits // 8 * channels

    def to_rgb(self, message: Any) -> Any:
        """Let rosbags-image decode."""
        return self._library.image_to_cvimage(message, "rgb8")


def find_decoder() -> Decoder:
    """Return cv_bridge where it is installed and works (its Jazzy build fails under NumPy 2), else rosbags-image."""
    if int(np.__version__.split(".")[0]) < 2 and find_spec("cv_bridge"):
        return CvBridgeDecoder()
    try:
        return RosbagsDecoder()
    except ImportError as error:
        raise UserError("no image decoder works here; pip install rosbags-image (cv_bridge needs NumPy 1)") from error


def image_to_rgb(message: Any, decoder: Decoder) -> NDArray[np.uint8]:
    """Decode an Image to RGB, uint8 (H, W, 3), honouring ``step``. Raises BadFrame."""
    tight = _without_padding(message, decoder)
    try:
        rgb = np.ascontiguousarray(decoder.to_rgb(tight))
    except Exception as error:  # each library raises its own kinds
        raise BadFrame(f"encoding '{message.encoding}' cannot become rgb8 ({error}); publish rgb8 or bgr8") from error
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise BadFrame(f"encoding '{message.encoding}' has no colours to show; publish rgb8 or bgr8")
    return rgb


def _without_padding(message: Any, decoder: Decoder) -> Pixels:
    """Check the sizes that ``message`` claims, and cut padding off its rows, which the libraries do not."""
    if message.width == 0 or message.height == 0:
        raise BadFrame(f"image of {message.width}x{message.height} pixels; check the camera driver")
    if message.encoding in PLANAR:
        raise BadFrame(f"encoding '{message.encoding}' is not supported; publish rgb8, bgr8 or yuv422")
    try:
        row = message.width * decoder.pixel_bytes(message.encoding)
    except Exception as error:
        raise BadFrame(f"unknown encoding '{message.encoding}'; publish rgb8, bgr8, mono8 or a bayer_*8") from error
    if message.step < row:
        raise BadFrame(f"step is {message.step} but a row of {message.width} {message.encoding} pixels has {row} bytes")
    expected = message.step * message.height
    if len(message.data) != expected:
        raise BadFrame(f"data has {len(message.data)} bytes but step x height is {expected}; check the camera driver")
    data = message.data
    if message.step != row:
        data = np.ascontiguousarray(np.frombuffer(data, np.uint8).reshape(message.height, message.step)[:, :row]).data
    encoding = ALIASES.get(message.encoding, message.encoding)
    return Pixels(message.height, message.width, encoding, message.is_bigendian, row, data)


def compressed_to_rgb(message: Any) -> NDArray[np.uint8]:
    """Decode a CompressedImage (JPEG, PNG, ...) to RGB, uint8 (H, W, 3). Raises BadFrame."""
    data = bytes(message.data)
    rgb = decode_rgb(data)
    if rgb is None:
        what = "are truncated" if is_truncated(data) else f"of format '{message.format}' are no image that OpenCV reads"
        raise BadFrame(f"{len(data)} compressed bytes {what}; check the link to the camera, send jpeg or png")
    return rgb


def encoding_family(encoding: str) -> str:
    """Return what kind of picture an encoding is: a stream that changes between kinds starts afresh."""
    families = {"bayer": "bayer", "mono": "mono", "yuv": "yuv", "uyvy": "yuv", "nv": "yuv"}
    return next((family for prefix, family in families.items() if encoding.startswith(prefix)), "color")


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

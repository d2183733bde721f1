"""Image messages to RGB arrays, whoever deserialised them. The decoding is left to cv_bridge or rosbags-image."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.errors import UserError
from vidseg_ros.io.bag_reader import IMAGE_TYPE, TYPES
from vidseg_ros.io.encodings import (
    BAYER,
    COLOR,
    DEPTH,
    ENCODINGS,
    PLANAR,
    YUV,
    Encoding,
    compressed_encoding,
    is_no_picture,
    why_no_picture,
)
from vidseg_ros.io.images import decode_picture, is_truncated

SCALE = 257  # from 16 bits to 8: 65535 / 255


class BadFrame(UserError):  # noqa: N818 - it is the frame that is bad
    """A message that holds no usable image."""


@dataclass(frozen=True)
class Pixels:
    """What decoders read of an Image: 8 bits a sample, without row padding."""

    height: int
    width: int
    encoding: str
    step: int
    data: Any
    is_bigendian: int = 0


class Decoder(Protocol):
    """An image conversion library."""

    def to_rgb(self, message: Any) -> Any:
        """Return RGB, uint8 (H, W, 3), of a message without row padding; raises any exception where it cannot."""


class CvBridgeDecoder:
    """cv_bridge, as ROS 2 distributions have it."""

    def __init__(self) -> None:
        from cv_bridge import CvBridge  # noqa: PLC0415 - only distributions have it

        self._bridge = CvBridge()

    def to_rgb(self, message: Any) -> Any:
        """Let cv_bridge decode."""
        return self._bridge.imgmsg_to_cv2(message, "rgb8")


class RosbagsDecoder:
    """rosbags-image, from PyPI."""

    def __init__(self) -> None:
        from rosbags.image import image  # noqa: PLC0415 - absent where cv_bridge is used

        self._library = image

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


def raw_picture(message: Any, decoder: Decoder) -> tuple[NDArray[np.uint8], str]:
    """Decode an Image to RGB, uint8 (H, W, 3), and tell its family. Raises BadFrame."""
    return image_to_rgb(message, decoder), encoding_family(message.encoding)


def image_to_rgb(message: Any, decoder: Decoder) -> NDArray[np.uint8]:
    """Decode an Image to RGB, uint8 (H, W, 3), honouring ``step`` and the order of bytes. Raises BadFrame."""
    encoding = ENCODINGS.get(message.encoding)
    if message.width == 0 or message.height == 0:
        raise BadFrame(f"image of {message.width}x{message.height} pixels; check the camera driver")
    if encoding is None:
        raise BadFrame(why_no_picture(message.encoding))
    samples = _samples(message, encoding)
    try:
        rgb = np.ascontiguousarray(decoder.to_rgb(_pixels(samples, encoding)))
    except Exception as error:  # each library raises its own kinds
        raise BadFrame(f"encoding '{message.encoding}' cannot become rgb8 ({error}); publish rgb8 or bgr8") from error
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise BadFrame(f"encoding '{message.encoding}' has no colours to show; publish rgb8 or bgr8")
    return rgb


def _samples(message: Any, encoding: Encoding) -> NDArray[Any]:
    """The samples of an image, (H, W x channels), without the padding of its rows. Checks the sizes that it claims."""
    row = message.width * encoding.channels * encoding.bits // 8
    if message.step < row:
        raise BadFrame(f"step is {message.step} but a row of {message.width} {message.encoding} pixels has {row} bytes")
    expected = message.step * message.height
    if len(message.data) != expected:
        raise BadFrame(f"data has {len(message.data)} bytes but step x height is {expected}; check the camera driver")
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)[:, :row]
    if encoding.bits == 8:
        return rows
    return np.ascontiguousarray(rows).view(">u2" if message.is_bigendian else "<u2")


def _pixels(samples: NDArray[Any], encoding: Encoding) -> Pixels:
    """What decoders take, of samples (H, W x channels) in 8 or 16 bits."""
    eight = np.ascontiguousarray(_eight_bits(samples))
    height, step = eight.shape
    return Pixels(height, step // encoding.channels, encoding.eight, step, eight.data)


def _eight_bits(samples: NDArray[Any]) -> NDArray[np.uint8]:
    return samples if samples.dtype == np.uint8 else (samples // SCALE).astype(np.uint8)


def encoding_family(encoding: str) -> str:
    """Return what kind of picture an encoding is: a stream that changes between kinds starts afresh."""
    return YUV if encoding in PLANAR else ENCODINGS[encoding].family if encoding in ENCODINGS else encoding


def compressed_to_rgb(message: Any) -> NDArray[np.uint8]:
    """Decode a CompressedImage (JPEG, PNG, ...) to RGB, uint8 (H, W, 3). Raises BadFrame."""
    return compressed_picture(message)[0]


def compressed_picture(message: Any) -> tuple[NDArray[np.uint8], str]:
    """Decode a CompressedImage to RGB, uint8 (H, W, 3), and tell its family (``encoding_family``). Raises BadFrame.

    Its format says whether a file of one channel is grey, a mosaic of colours, or no picture.
    """
    name, data = compressed_encoding(message.format), bytes(message.data)
    if DEPTH in message.format or is_no_picture(name):
        raise BadFrame(why_no_picture(name))
    pixels = decode_picture(data)
    if pixels is None:
        what = "are truncated" if is_truncated(data) else f"of format '{message.format}' are no image that OpenCV reads"
        raise BadFrame(f"{len(data)} compressed bytes {what}; check the link to the camera, send jpeg or png")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise BadFrame(f"compressed image of {pixels.dtype} numbers, whose range nobody says; send jpeg or png")
    if pixels.ndim == 3:
        return np.ascontiguousarray(_eight_bits(pixels)[..., ::-1]), COLOR
    encoding = ENCODINGS[name if name.startswith(BAYER) and name in ENCODINGS else "mono8"]
    return np.ascontiguousarray(find_decoder().to_rgb(_pixels(pixels, encoding))), encoding.family


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

"""Encodings of sensor_msgs: which of them are pictures, and of what kind. One table for raw and compressed images."""

from __future__ import annotations

import re
from dataclasses import dataclass

COLOR, MONO, BAYER, YUV = "color", "mono", "bayer", "yuv"  # families
PLANAR = ("nv12", "nv21", "nv24")  # a plane of brightness, then one of colours: not rows of whole pixels
MATRIX = re.compile(r"(8|16|32|64)[USF](C\d+)?")  # an OpenCV type: numbers, of which nobody says what they mean
DEPTH = "compressedDepth"  # how image_transport calls distances that it has packed into a PNG


@dataclass(frozen=True)
class Encoding:
    """A way of sending pictures.

    family: a stream that changes between families starts afresh; within one, the picture is the same. eight: what
    conversion libraries call it in 8 bits. channels and bits of each; 16 bits become 8 by whole division by 257.
    """

    family: str
    eight: str
    channels: int
    bits: int = 8


def _each(family: str, channels: int, *names: str) -> dict[str, Encoding]:
    """The encodings ``names``, in 8 and in 16 bits."""
    return {f"{name}{bits}": Encoding(family, f"{name}8", channels, bits) for name in names for bits in (8, 16)}


ENCODINGS = {
    **_each(COLOR, 3, "rgb", "bgr"),
    **_each(COLOR, 4, "rgba", "bgra"),
    **_each(MONO, 1, "mono"),
    **_each(BAYER, 1, "bayer_rggb", "bayer_bggr", "bayer_gbrg", "bayer_grbg"),
    "8UC3": Encoding(COLOR, "rgb8", 3),  # has no order of colours; the libraries read it so, alike
    "8UC1": Encoding(MONO, "mono8", 1),
    **{name: Encoding(YUV, "yuv422", 2) for name in ("uyvy", "yuv422")},
    **{name: Encoding(YUV, "yuv422_yuy2", 2) for name in ("yuyv", "yuv422_yuy2")},
}


def why_no_picture(encoding: str) -> str:
    """Why an ``encoding`` that is not in ENCODINGS cannot be shown."""
    if encoding in PLANAR:
        return f"encoding '{encoding}' is not supported; publish rgb8, bgr8 or yuv422"
    if MATRIX.fullmatch(encoding):
        return f"encoding '{encoding}' cannot become rgb8 (nobody says the range of its numbers); publish rgb8 or bgr8"
    return f"unknown encoding '{encoding}'; publish rgb8, bgr8, mono8 or a bayer_*8"


def is_no_picture(encoding: str) -> bool:
    """Tell whether an encoding is known to hold none that can be shown; one that is not known at all may."""
    return encoding in PLANAR or (encoding not in ENCODINGS and bool(MATRIX.fullmatch(encoding)))


def compressed_encoding(text: str) -> str:
    """What a CompressedImage of this ``format`` holds: what it was made of, or what that became first; "" if unsaid.

    >>> compressed_encoding("bayer_rggb8; png compressed "), compressed_encoding("bayer_rggb8; jpeg compressed bgr8")
    ('bayer_rggb8', 'bgr8')
    >>> compressed_encoding("jpeg"), compressed_encoding("16UC1; compressedDepth")
    ('', '16UC1')
    """
    source, said, codec = text.partition(";")
    target = codec.replace(DEPTH, "").partition("compressed")[2].strip()
    return target or (source.strip() if said else "")

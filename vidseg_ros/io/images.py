"""Image files: RGB frames, in order, and whether they are whole."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.errors import UserError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
START_AND_END = ((b"\xff\xd8", b"\xff\xd9"), (b"\x89PNG", b"IEND"))  # of JPEG and PNG files
TAIL = 64  # bytes at the end of a file, without padding, in which its end marker must lie


def is_truncated(data: bytes) -> bool:
    """Tell whether a JPEG or PNG file is cut: decoders fill the missing part with grey and say nothing."""
    tail = data.rstrip(b"\0")[-TAIL:]
    return any(data.startswith(start) and end not in tail for start, end in START_AND_END)


def decode_rgb(data: bytes) -> NDArray[np.uint8] | None:
    """Decode an image file to RGB, uint8 (H, W, 3); None where it is cut or no image."""
    if not data or is_truncated(data):
        return None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an image as RGB, uint8 (H, W, 3). Raises UserError where it is missing or broken."""
    image = decode_rgb(path.read_bytes()) if path.is_file() else None
    if image is None:
        raise UserError(f"cannot read image '{path}'; it is missing or damaged")
    return image


def image_files(folder: Path) -> list[Path]:
    """Return the images of ``folder`` in name order. Raises UserError where there are none."""
    if not folder.is_dir():
        raise UserError(f"folder '{folder}' does not exist; name a folder of images")
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise UserError(f"folder '{folder}' holds no images ({', '.join(IMAGE_SUFFIXES)})")
    return files

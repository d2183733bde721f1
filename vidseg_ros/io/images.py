"""Image files: RGB frames, in order, and whether they are whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.errors import UserError
from vidseg_ros.files import write_atomic

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
START_AND_END = ((b"\xff\xd8", b"\xff\xd9"), (b"\x89PNG", b"IEND"))  # of JPEG and PNG files
TAIL = 64  # bytes at the end of a file, without padding, in which its end marker must lie


def is_truncated(data: bytes) -> bool:
    """Tell whether a JPEG or PNG file is cut: decoders fill the missing part with grey and say nothing."""
    tail = data.rstrip(b"\0")[-TAIL:]
    return any(data.startswith(start) and end not in tail for start, end in START_AND_END)


def decode(data: bytes, how: int) -> NDArray[Any] | None:
    """Decode an image file by OpenCV; None where it is none, is damaged or has more than LARGEST_PICTURE pixels."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), how) if data else None
    except (cv2.error, MemoryError):  # it raises where a header makes no sense
        return None
    return None if image is None else np.asarray(image)


def decode_picture(data: bytes) -> NDArray[Any] | None:
    """Decode an image file as it is: grey (H, W) or BGR (H, W, 3), in its depth; None where it is cut or no image."""
    return None if is_truncated(data) else decode(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)


def decode_rgb(data: bytes) -> NDArray[np.uint8] | None:
    """Decode an image file to RGB, uint8 (H, W, 3); None where it is cut or no image."""
    image = None if is_truncated(data) else decode(data, cv2.IMREAD_COLOR)
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an image as RGB, uint8 (H, W, 3). Raises UserError where it is missing or broken."""
    image = decode_rgb(read_file(path))
    if image is None:
        raise UserError(f"cannot read image '{path}'; it is missing or damaged")
    return image


def read_file(path: Path, most: int = -1) -> bytes:
    """The bytes of a file, at ``most`` so many; none where it is missing, a dead link or no file.

    Raises UserError for one that must not be read. OpenCV gets bytes, for it crashes on names that are not UTF-8.
    """
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}; make it readable") from error


def write_image(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write grey (H, W) or BGR (H, W, 3) as a PNG file, whole or not at all. Raises UserError."""
    write_atomic(path, cv2.imencode(".png", pixels)[1].tobytes())


def image_files(folder: Path) -> list[Path]:
    """Return the images of ``folder`` in natural order: 1, 2, 10. Raises UserError where there are none.

    Dead links are among them, for a frame was there; what ``passed_over`` gives is not.
    """
    files = [path for path in _named_like_images(folder) if not _why_no_frame(path)]
    if not files:
        raise UserError(f"folder '{folder}' holds no images ({', '.join(IMAGE_SUFFIXES)}){_instead(folder)}")
    return files


def _instead(folder: Path) -> str:
    """Name the folders in ``folder`` that hold images: that of a data set is often given for its frames."""
    inner = sorted((path for path in folder.iterdir() if path.is_dir() and not is_hidden(path)), key=natural_order)
    found = [f"'{path}'" for path in inner if any(not _why_no_frame(image) for image in _named_like_images(path))]
    return f"; name one of its folders: {', '.join(found[:3])}" if found else ""


def passed_over(folder: Path) -> list[str]:
    """Say of each thing in ``folder`` that is named like an image, and is no frame, why."""
    reasons = ((path, _why_no_frame(path)) for path in _named_like_images(folder))
    return [f"'{path}' is {reason}, and no frame" for path, reason in reasons if reason]


def _named_like_images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"folder '{folder}' does not exist; name a folder of images")
    return sorted((path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES), key=natural_order)


def _why_no_frame(path: Path) -> str:
    return "hidden" if is_hidden(path) else "a folder" if path.is_dir() else ""


def is_hidden(path: Path) -> bool:
    """Tell whether a file is not meant for people: other programs leave ``._1.png`` beside ``1.png``."""
    return path.name.startswith(".")


def natural_order(path: Path) -> tuple[list[str | int], str]:
    """The key that sorts files as people count.

    >>> [path.name for path in sorted(map(Path, ["f10.png", "f2.png", "f1.png"]), key=natural_order)]
    ['f1.png', 'f2.png', 'f10.png']
    """
    parts = re.split(r"(\d+)", path.name)  # text and numbers in turn
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], path.name

"""The one currency of offline work: consecutive frames with their labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.errors import UserError
from vidseg_ros.labels import IGNORE

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Clip:
    """Consecutive frames of one sequence.

    frames: RGB uint8 (T, H, W, 3). labels: ids uint8 (T, H, W), IGNORE where unknown. stamps: seconds (T,), rising.
    """

    frames: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    stamps: NDArray[np.float64]
    sequence: str

    def __len__(self) -> int:
        return len(self.frames)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an image as RGB, uint8 (H, W, 3). Raises UserError where it is missing or broken."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f"cannot read image '{path}'; it is missing or damaged")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def read_labels(path: Path, classes: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Read a label image, uint8 (H, W), of the (height, width) ``size``; the id right after the last class is void.

    Raises UserError where it is missing, of another size, or holds an id outside the label set.
    """
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if labels is None:
        raise UserError(f"cannot read label image '{path}'; it is missing or damaged")
    if labels.shape != size:
        raise UserError(f"label image '{path}' has shape {labels.shape}, its frame {size}; they must agree")
    labels = np.where(labels == classes, IGNORE, labels).astype(np.uint8)
    wrong = labels[(labels >= classes) & (labels != IGNORE)]
    if wrong.size:
        raise UserError(f"label image '{path}' holds id {wrong[0]}; the label set has ids 0 to {classes - 1} and void")
    return labels


def image_files(folder: Path) -> list[Path]:
    """Return the images of ``folder`` in name order. Raises UserError where there are none."""
    if not folder.is_dir():
        raise UserError(f"folder '{folder}' does not exist; name a folder of images")
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise UserError(f"folder '{folder}' holds no images ({', '.join(IMAGE_SUFFIXES)})")
    return files

"""Pictures for people: labels over frames, frames side by side, and videos of them."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.errors import UserError

OPACITY = 0.5  # of the label colours in overlays
CODEC = "mp4v"  # the one that OpenCV's wheels can write


def blend(rgb: NDArray[np.uint8], color: NDArray[np.uint8], opacity: float = OPACITY) -> NDArray[np.uint8]:
    """Mix label colours into a picture, both RGB uint8 (H, W, 3)."""
    return np.asarray(cv2.addWeighted(rgb, 1.0 - opacity, color, opacity, 0.0), np.uint8)


class Film:
    """Writes RGB pictures to ``path`` (.mp4), and the last of them beside it as a .png."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)  # width and height of the first picture: a film has one size
        self._last: NDArray[np.uint8] | None = None

    def append(self, rgb: NDArray[np.uint8]) -> None:
        """Add a picture, uint8 (H, W, 3). Raises UserError where the file cannot be written."""
        if self._writer is None:
            self._size = (rgb.shape[1], rgb.shape[0])
            self._writer = self._open()
        if (rgb.shape[1], rgb.shape[0]) != self._size:
            rgb = np.asarray(cv2.resize(rgb, self._size), np.uint8)
        self._last = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)
        self._writer.write(self._last)

    def _open(self) -> cv2.VideoWriter:
        writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*CODEC), self._fps, self._size)
        if not writer.isOpened():
            raise UserError(f"cannot write video '{self._path}'; name a writable folder with --output")
        return writer

    def __enter__(self) -> Film:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None and self._last is not None:
            self._writer.release()
            cv2.imwrite(str(self._path.with_suffix(".png")), self._last)

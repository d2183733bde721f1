"""Frames from folders and videos, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.errors import UserError
from vidseg_ros.io.images import image_files, read_rgb
from vidseg_ros.replay.config import ReplayConfig

DEFAULT_FPS = ReplayConfig.fps  # of images whose rate nobody tells


@dataclass(frozen=True)
class Video:
    """RGB frames, uint8 (H, W, 3), at ``fps``; ``count`` is how many there are, as far as the file tells."""

    frames: Iterator[NDArray[np.uint8]]
    count: int
    fps: float


def read_folder(folder: Path, fps: float) -> Video:
    """Read the images of a folder in name order. Raises UserError where there are none."""
    files = image_files(folder)
    return Video((read_rgb(file) for file in files), len(files), fps)


def read_video(path: Path) -> Video:
    """Read a video file. Raises UserError where OpenCV finds no frame in it."""
    capture = cv2.VideoCapture(str(path))
    found, first = capture.read()
    if not found:
        raise UserError(f"'{path}' holds no video that OpenCV can read; use an .mp4, .avi, .mkv or a folder of images")
    count = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 1)
    return Video(_rest(capture, first), count, capture.get(cv2.CAP_PROP_FPS) or DEFAULT_FPS)


def _rest(capture: cv2.VideoCapture, frame: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    found = True
    while found:
        yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
        found, frame = capture.read()  # type: ignore[assignment]
    capture.release()

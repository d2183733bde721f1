"""Frames of video that nobody labelled: files, folders of them, and folders of images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from vidseg_ros.data.clip import Clip
from vidseg_ros.data.stored import StoredFrame
from vidseg_ros.errors import UserError
from vidseg_ros.io.frame import nanoseconds
from vidseg_ros.io.image_messages import BadFrame
from vidseg_ros.io.images import decode_rgb, image_files, is_hidden, natural_order, passed_over
from vidseg_ros.io.recordings import open_recordings, skipped_note, usable
from vidseg_ros.labels import IGNORE

LOG = logging.getLogger(__name__)
SUFFIXES = (".mp4", ".gif", ".avi", ".mkv", ".mov", ".webm")  # of videos in a folder
QUALITY = 95  # of the JPEG pictures that are kept of a video
MOST_FRAMES = 30_000  # of a video: some gigabytes
NO_LABELS = np.full(256, IGNORE, np.uint8)


@dataclass(frozen=True, eq=False)
class VideoFrame(StoredFrame):
    """A frame of a video file, kept in memory as JPEG: seeking for each clip would cost more than training on it."""

    data: bytes = b""

    def read(self) -> Clip:
        """Decode the frame as a clip of one, all void."""
        rgb = decode_rgb(self.data)
        assert rgb is not None, "it was encoded here"
        return Clip(rgb[None], np.full((1, *rgb.shape[:2]), IGNORE, np.uint8), np.array([self.stamp]), self.sequence)


def video_frames(path: Path, fps: float) -> list[StoredFrame]:
    """List the frames of a video, of the videos in a folder, or of a folder of images at ``fps``. Raises UserError.

    What holds no image is counted in one line of the log.
    """
    if path.is_file():
        return list(_of_file(path))
    videos = [file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and not is_hidden(file)]
    if videos:
        return [frame for video in sorted(videos, key=natural_order) for frame in _of_file(video)]
    images = enumerate(image_files(path))
    _warn_of(path, [BadFrame(reason) for reason in passed_over(path)])
    return [StoredFrame(image, None, str(path), nanoseconds(number / fps), NO_LABELS) for number, image in images]


@cache  # for the phases to come
def _of_file(path: Path) -> tuple[StoredFrame, ...]:
    (recording,) = open_recordings(path)
    found, skipped = list[StoredFrame](), list[BadFrame]()
    for frame in usable(recording.frames(), skipped):  # what is damaged leaves a gap
        if len(found) == MOST_FRAMES:
            raise UserError(f"video '{path}' has more than {MOST_FRAMES} frames; cut it, or use a folder of images")
        bgr = np.ascontiguousarray(frame.rgb[..., ::-1])
        data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
        found.append(VideoFrame(path, None, str(path), frame.stamp, NO_LABELS, data))
    if not found:
        raise UserError(f"video '{path}' has no frame that can be read; copy it again")
    _warn_of(path, skipped)
    return tuple(found)


def _warn_of(path: Path, skipped: Sequence[BadFrame]) -> None:
    if skipped:
        LOG.warning("frames of '%s': %s", path, skipped_note(skipped))

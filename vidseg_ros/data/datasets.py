"""Find a data set by name and read whatever layout it has."""

from __future__ import annotations

import os
from pathlib import Path

from vidseg_ros.data.camvid import FRAMES, camvid_frames
from vidseg_ros.data.cityscapes import cityscapes_frames, is_cityscapes
from vidseg_ros.data.recorded_scenes import is_recording, recorded_frames
from vidseg_ros.data.stored import StoredFrame
from vidseg_ros.data.video import video_frames
from vidseg_ros.errors import UserError
from vidseg_ros.io.frame import DEFAULT_FPS
from vidseg_ros.labels import CAMVID, LabelSet


def data_root() -> Path:
    """Return the folder of data sets: $VIDSEG_DATA, or ``../shared/datasets`` beside the project."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "datasets"
    return Path(os.environ.get("VIDSEG_DATA") or beside)


def find_dataset(name: str) -> Path:
    """Return the folder ``name``, as it stands or below the folder of data sets. Raises UserError."""
    path = _find(name)
    if not path.is_dir():
        raise UserError(f"data set '{name}' is a file; name a folder, or set unlabelled: true for video in training")
    return path


def _find(name: str) -> Path:
    for path in (Path(name), data_root() / name):
        if path.exists():
            return path
    raise UserError(f"data set '{name}' does not exist, nor below '{data_root()}'; name a folder or set VIDSEG_DATA")


def open_dataset(name: str, labels: LabelSet, written: LabelSet = CAMVID) -> list[StoredFrame]:
    """List the frames of a data set, with ids of ``labels``: Cityscapes, recorded scenes, or CamVid by its layout.

    ``written``: label set of the ids in files of the last layout, which does not say it.
    """
    folder = find_dataset(name)
    if is_cityscapes(folder):
        return cityscapes_frames(folder, labels)
    if is_recording(folder):
        return recorded_frames(folder, labels)
    return camvid_frames(folder, labels, written)


def open_video(name: str, labels: LabelSet, written: LabelSet = CAMVID, fps: float = DEFAULT_FPS) -> list[StoredFrame]:
    """List the frames of a data set, a video, or a folder of videos or of images at ``fps``; labels are not needed."""
    path = _find(name)
    if path.is_dir() and (is_cityscapes(path) or is_recording(path) or (path / FRAMES).is_dir()):
        return open_dataset(name, labels, written)
    return video_frames(path, fps)

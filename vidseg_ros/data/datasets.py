"""Find a data set by name and read whatever layout it has."""

from __future__ import annotations

import os
from pathlib import Path

from vidseg_ros.data.camvid import camvid_frames
from vidseg_ros.data.cityscapes import cityscapes_frames, is_cityscapes
from vidseg_ros.data.recorded_scenes import is_recording, recorded_frames
from vidseg_ros.data.stored import StoredFrame
from vidseg_ros.errors import UserError
from vidseg_ros.labels import LabelSet


def data_root() -> Path:
    """Return the folder of data sets: $VIDSEG_DATA, or ``../shared/datasets`` beside the project."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "datasets"
    return Path(os.environ.get("VIDSEG_DATA") or beside)


def find_dataset(name: str) -> Path:
    """Return the folder ``name``, as it stands or below the folder of data sets. Raises UserError."""
    for folder in (Path(name), data_root() / name):
        if folder.is_dir():
            return folder
    raise UserError(f"data set '{name}' does not exist, nor below '{data_root()}'; name a folder or set VIDSEG_DATA")


def open_dataset(name: str, labels: LabelSet) -> list[StoredFrame]:
    """List the frames of a data set, with ids of ``labels``: Cityscapes, recorded scenes, or CamVid by its layout."""
    folder = find_dataset(name)
    if is_cityscapes(folder):
        return cityscapes_frames(folder, labels)
    if is_recording(folder):
        return recorded_frames(folder, labels)
    return camvid_frames(folder, labels)

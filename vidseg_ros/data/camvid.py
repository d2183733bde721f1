"""CamVid in the split of the SegNet tutorial (Brostow, Fauqueur and Cipolla 2009): 480x360, 11 classes and void."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidseg_ros.config import StreamConfig
from vidseg_ros.data.clip import Clip
from vidseg_ros.data.images import image_files, read_labels, read_rgb
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID

SOURCE_FPS = 30.0  # the number in a file name counts frames of the source video
MAX_GAP = StreamConfig.max_gap  # beyond it begins a new sequence, as a stream would forget


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


@dataclass(frozen=True)
class CamVidFrame:
    """One labelled frame on disk."""

    image: Path
    label: Path
    scene: str
    stamp: float

    def read(self) -> Clip:
        """Read the frame as a clip of one."""
        rgb = read_rgb(self.image)
        labels = read_labels(self.label, len(CAMVID), rgb.shape[:2])
        return Clip(rgb[None], labels[None], np.array([self.stamp]), self.scene)


def camvid_frames(folder: Path) -> list[CamVidFrame]:
    """List the frames of a split: ``folder/frames/SCENE_NUMBER.*`` with ``folder/labels/SCENE_NUMBER.png``."""
    return [_frame(image, folder / "labels" / f"{image.stem}.png") for image in image_files(folder / "frames")]


def _frame(image: Path, label: Path) -> CamVidFrame:
    name = re.fullmatch(r"(.+)_\D?(\d+)", image.stem)
    if name is None:
        raise UserError(f"'{image}' is not named SCENE_NUMBER as CamVid frames are")
    return CamVidFrame(image, label, name[1], int(name[2]) / SOURCE_FPS)


def sequences(frames: Sequence[CamVidFrame]) -> Iterator[list[CamVidFrame]]:
    """Split frames into runs of one scene without a gap of more than ``MAX_GAP`` seconds."""
    run: list[CamVidFrame] = []
    for frame in frames:
        if run and (frame.scene != run[-1].scene or not 0 < round(frame.stamp - run[-1].stamp, 6) <= MAX_GAP):
            yield run
            run = []
        run.append(frame)
    if run:
        yield run

"""The layout of CamVid in the split of the SegNet tutorial (Brostow, Fauqueur and Cipolla 2009): classes and void."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.data.stored import StoredFrame
from vidseg_ros.errors import UserError
from vidseg_ros.io.frame import nanoseconds
from vidseg_ros.io.images import image_files
from vidseg_ros.io.label_images import coding
from vidseg_ros.labels import CAMVID, IGNORE, LabelSet, translation

FRAMES = "frames"
SOURCE_FPS = 30.0  # the number in a file name counts frames of the source video


def void_behind(labels: LabelSet) -> NDArray[np.uint8]:
    """Code label files that hold the ids of a label set and, as the id behind the last, void."""
    return coding({number: number for number in range(len(labels))} | {len(labels): IGNORE})


CODING = void_behind(CAMVID)


def camvid_frames(folder: Path, labels: LabelSet = CAMVID, written: LabelSet = CAMVID) -> list[StoredFrame]:
    """List the frames of a split: ``folder/frames/SCENE_NUMBER.*`` with ``folder/labels/SCENE_NUMBER.png``.

    ``written``: label set of the ids in the files, with void behind them.
    """
    if not (folder / FRAMES).is_dir():
        raise UserError(f"folder '{folder / FRAMES}' does not exist; name {_data_set_near(folder)}")
    coded = np.take(translation(written, labels), void_behind(written))
    frames = []
    for image in image_files(folder / FRAMES):
        name = re.fullmatch(r"(.+)_\D?(\d+)", image.stem)
        if name is None:
            raise UserError(f"'{image}' is not named SCENE_NUMBER as CamVid frames are")
        label = folder / "labels" / f"{image.stem}.png"
        frames.append(StoredFrame(image, label, name[1], nanoseconds(int(name[2]) / SOURCE_FPS), coded))
    return frames


def _data_set_near(folder: Path) -> str:
    """What may be meant: the folder around one of images, or a split of a data set."""
    near = [folder.parent] if folder.name == FRAMES else sorted(file.parent for file in folder.glob(f"*/{FRAMES}"))
    return " or ".join(f"'{path}'" for path in near[:3]) or "a data set, such as a folder with frames/ and labels/"

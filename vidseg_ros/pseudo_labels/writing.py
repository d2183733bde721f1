"""Labelled video in a layout that training reads: recorded scenes, or beside the frames of Cityscapes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vidseg_ros.data.cityscapes import PSEUDO, cityscapes_frames
from vidseg_ros.data.recorded_scenes import DESCRIPTION
from vidseg_ros.errors import UserError
from vidseg_ros.files import write_atomic
from vidseg_ros.io.frame import Frame
from vidseg_ros.io.images import read_rgb, write_image
from vidseg_ros.labels import CITYSCAPES, LabelSet, translation
from vidseg_ros.pseudo_labels.labeling import Labelled


class SceneWriter:
    """Writes ``folder``/NAME, NAME_2 ... : see ``data.recordings``. Each break begins a scene; none is replaced."""

    def __init__(self, folder: Path, name: str, fps: float, labels: LabelSet) -> None:
        self._folder, self._name, self._fps, self._labels = folder, name, fps, labels
        self._scene, self._scenes, self._frame = folder, 0, 0

    def save(self, labelled: Labelled) -> None:
        """Append a frame and its labels. Raises UserError where that cannot be written."""
        if labelled.begins:
            self._begin()
        file = f"{self._frame:06}.png"
        write_image(self._scene / "rgb" / file, np.ascontiguousarray(labelled.frame.rgb[..., ::-1]))
        write_image(self._scene / "labels" / file, labelled.labels)
        self._frame += 1

    def _begin(self) -> None:
        self._scenes, self._frame = self._scenes + 1, 0
        self._scene = self._folder / (self._name if self._scenes == 1 else f"{self._name}_{self._scenes}")
        if self._scene.exists():  # frames of two videos in one scene would be trained on
            raise UserError(f"scene '{self._scene}' is there already; remove it, or name another --output")
        about = json.dumps({"fps": self._fps, "labels": self._labels.name}) + "\n"
        write_atomic(self._scene / DESCRIPTION, about.encode())


class CityscapesLabels:
    """Writes ``root``/pseudo/SPLIT/CITY/..._labelTrainIds.png: see ``data.cityscapes``."""

    def __init__(self, root: Path, split: str, labels: LabelSet) -> None:
        self._folder, self._table = root / PSEUDO / split, translation(labels, CITYSCAPES)

    def save(self, labelled: Labelled) -> None:
        """Write the labels of a frame whose name is CITY/CITY_SEQUENCE_FRAME."""
        file = self._folder / f"{labelled.frame.name}_labelTrainIds.png"
        write_image(file, np.take(self._table, labelled.labels))


def cityscapes_video(folder: Path) -> Iterator[Frame]:
    """Read the frames of a split of Cityscapes; the name of the sequence stands for the camera."""
    for frame in cityscapes_frames(folder):
        name = frame.image.stem.removesuffix("_leftImg8bit")
        yield Frame(read_rgb(frame.image), frame.stamp, frame.sequence, name=f"{frame.image.parent.name}/{name}")

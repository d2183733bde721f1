"""Recordings of a simulator: a folder a scene.

SCENE/scene.json         {"fps": 17.0, "labels": "cityscapes"}
SCENE/rgb/NUMBER.*       frames, numbered without holes
SCENE/labels/NUMBER.png  ids of the label set that scene.json names, 255 unlabelled
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidseg_ros.data.stored import StoredFrame
from vidseg_ros.errors import UserError
from vidseg_ros.io.frame import nanoseconds
from vidseg_ros.io.images import image_files
from vidseg_ros.io.label_images import coding
from vidseg_ros.labels import CITYSCAPES, LabelSet, find_label_set, translation
from vidseg_ros.schema import load_yaml, require_positive

DESCRIPTION = "scene.json"


@dataclass(frozen=True)
class SceneConfig:
    """What ``scene.json`` says."""

    fps: float
    labels: str = CITYSCAPES.name

    def __post_init__(self) -> None:
        require_positive(fps=self.fps)


def is_recording(folder: Path) -> bool:
    """Tell whether ``folder`` holds recorded scenes."""
    return any(folder.glob(f"*/{DESCRIPTION}"))


def recorded_frames(folder: Path, labels: LabelSet) -> list[StoredFrame]:
    """List the frames of all scenes. Raises UserError for a scene whose frames are not numbered."""
    frames = []
    for description in sorted(folder.glob(f"*/{DESCRIPTION}")):
        scene = load_yaml(description, SceneConfig)  # JSON is YAML
        recorded = find_label_set(scene.labels)
        coded = np.take(translation(recorded, labels), coding({i: i for i in range(len(recorded))}))
        for image in image_files(description.parent / "rgb"):
            if not image.stem.isdecimal():
                raise UserError(f"'{image}' is not named by its number as recorded frames are")
            label = description.parent / "labels" / f"{image.stem}.png"
            stamp = nanoseconds(int(image.stem) / scene.fps)
            frames.append(StoredFrame(image, label, description.parent.name, stamp, coded))
    return frames

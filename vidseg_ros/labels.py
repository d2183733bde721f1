"""Label sets: names, colours and ids of the classes a network tells apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.errors import UserError

IGNORE = 255
"""Id of a pixel without a label: in ground truth, in predictions and in label images."""

OUTSIDE = 254
"""What a coding of label files gives for a value that the files must not hold."""

IGNORE_COLOR = (0, 0, 0)


@dataclass(frozen=True)
class LabelSet:
    """Classes in id order: id ``i`` has ``names[i]`` and the RGB colour ``colors[i]``, each 0..255."""

    name: str
    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.names) < IGNORE:
            raise UserError(f"label set '{self.name}' has {len(self.names)} classes; use 1 to {IGNORE - 1}")
        if len(self.names) != len(self.colors):
            raise UserError(
                f"label set '{self.name}' has {len(self.names)} names but {len(self.colors)} colours; give one each"
            )

    def __len__(self) -> int:
        return len(self.names)

    def id_of(self, name: str) -> int:
        """Id of the class ``name``."""
        return self.names.index(name)

    def require_known(self, ids: NDArray[np.uint8]) -> None:
        """Raise UserError where a label image, uint8 (H, W), holds ids of no class, as one of another set does."""
        foreign = ids[(ids >= len(self)) & (ids != IGNORE)]
        if foreign.size:
            raise UserError(
                f"a label image holds id {foreign.max()}, but label set '{self.name}' has {len(self)} classes; "
                "set label_set to that of the model"
            )

    @cached_property
    def palette(self) -> NDArray[np.uint8]:
        """RGB colour of every possible id, uint8 (256, 3); ids outside the set are black."""
        palette = np.full((256, 3), IGNORE_COLOR, np.uint8)
        palette[: len(self)] = self.colors
        return palette

    def colorize(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn ids, uint8 (H, W), into colours, uint8 RGB (H, W, 3)."""
        return np.asarray(cv2.applyColorMap(labels, self.palette.reshape(256, 1, 3)), np.uint8)


CAMVID = LabelSet(
    "camvid",
    (
        "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
    ),
    (
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (0, 0, 192), (128, 128, 0), (192, 128, 128),
        (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    ),
)  # fmt: skip
"""The 11 classes of the SegNet split of CamVid (Brostow, Fauqueur and Cipolla 2009)."""

CITYSCAPES = LabelSet(
    "cityscapes",
    (
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation",
        "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    ),
    (
        (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
        (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0),
        (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32),
    ),
)  # fmt: skip
"""The 19 train ids of Cityscapes (Cordts et al. 2016)."""

LABEL_SETS = {label_set.name: label_set for label_set in (CAMVID, CITYSCAPES)}

_TRANSLATIONS = {
    ("cityscapes", "camvid"): {
        "sidewalk": "pavement", "wall": "building", "traffic light": "sign", "traffic sign": "sign",
        "vegetation": "tree", "terrain": "tree", "person": "pedestrian", "rider": "bicyclist", "truck": "car",
        "bus": "car", "train": "car", "motorcycle": "bicyclist", "bicycle": "bicyclist",
    },
    ("camvid", "cityscapes"): {
        "pavement": "sidewalk", "tree": "vegetation", "sign": "traffic sign", "pedestrian": "person",
        "bicyclist": "rider",
    },
}  # fmt: skip


def find_label_set(name: str) -> LabelSet:
    """Label set called ``name``. Raises UserError."""
    if name not in LABEL_SETS:
        raise UserError(f"label set '{name}' does not exist; use one of {', '.join(LABEL_SETS)}")
    return LABEL_SETS[name]


def translation(source: LabelSet, target: LabelSet) -> NDArray[np.uint8]:
    """Id in ``target`` of every id of ``source``, uint8 (256,); other values stay as they are.

    Classes of one name are the same; the rest follows the 11 classes that CamVid was reduced to. Raises UserError
    where a class has no counterpart.
    """
    renamed = _TRANSLATIONS.get((source.name, target.name), {})
    table = np.arange(256, dtype=np.uint8)
    for number, name in enumerate(source.names):
        counterpart = renamed.get(name, name)
        if counterpart not in target.names:
            raise UserError(f"class '{name}' of '{source.name}' labels has no counterpart in '{target.name}'")
        table[number] = target.id_of(counterpart)
    return table

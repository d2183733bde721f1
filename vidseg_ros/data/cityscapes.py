"""The layout of the Cityscapes sequences (Cordts et al. 2016): thirty frames at 17 Hz, one of them labelled.

    ROOT/leftImg8bit_sequence/SPLIT/CITY/CITY_SEQUENCE_FRAME_leftImg8bit.png   (or leftImg8bit/...)
    ROOT/gtFine/SPLIT/CITY/CITY_SEQUENCE_FRAME_gtFine_labelIds.png             label ids, true labels
    ROOT/pseudo/SPLIT/CITY/CITY_SEQUENCE_FRAME_labelTrainIds.png               train ids, labels of a teacher

A data set is the folder of a split below ``leftImg8bit_sequence``. Where a frame has both kinds of labels, the true
ones count.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from vidseg_ros.data.stored import StoredFrame
from vidseg_ros.errors import UserError
from vidseg_ros.io.frame import nanoseconds
from vidseg_ros.io.images import is_hidden, natural_order
from vidseg_ros.io.label_images import coding
from vidseg_ros.labels import CITYSCAPES, IGNORE, LabelSet, translation

PSEUDO = "pseudo"  # folder of the labels of a teacher
IMAGE_FOLDERS = ("leftImg8bit_sequence", "leftImg8bit")
FPS = 17.0
LABEL_IDS = 34
EVALUATED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)  # label ids of the train ids
TRAIN_IDS = coding({number: number for number in range(len(CITYSCAPES))})
CODING = coding(dict.fromkeys(range(LABEL_IDS), IGNORE) | {value: number for number, value in enumerate(EVALUATED)})


def is_cityscapes(folder: Path) -> bool:
    """Tell whether ``folder`` is a split of this layout."""
    return folder.resolve().parent.name in IMAGE_FOLDERS


def cityscapes_frames(folder: Path, labels: LabelSet = CITYSCAPES) -> list[StoredFrame]:
    """List the frames of a split in the order of city, sequence and frame. Raises UserError where there are none."""
    folder = folder.resolve()
    root, split = folder.parents[1], folder.name
    table = translation(CITYSCAPES, labels)
    frames = []
    images = (image for image in folder.glob("*/*_leftImg8bit.png") if not is_hidden(image))
    for image in sorted(images, key=lambda image: (image.parent.name, natural_order(image))):
        name = re.fullmatch(r"((.+)_\d+)_(\d+)_leftImg8bit", image.stem)
        if name is None:
            raise UserError(f"'{image}' is not named CITY_SEQUENCE_FRAME_leftImg8bit.png as Cityscapes frames are")
        stem = f"{split}/{image.parent.name}/{name[1]}_{name[3]}"
        true, pseudo = root / f"gtFine/{stem}_gtFine_labelIds.png", root / f"{PSEUDO}/{stem}_labelTrainIds.png"
        label = true if true.is_file() else pseudo if pseudo.is_file() else None
        coded = np.take(table, CODING if label == true else TRAIN_IDS)
        frames.append(StoredFrame(image, label, name[1], nanoseconds(int(name[3]) / FPS), coded))
    if not frames:
        raise UserError(f"folder '{folder}' holds no CITY/*_leftImg8bit.png; name a split of Cityscapes")
    return frames

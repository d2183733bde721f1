"""Things from other pictures that pass through a clip with their labels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.data.clip import Clip
from vidseg_ros.labels import IGNORE

AREA = (0.001, 0.08)  # smallest and largest, as a share of the picture
SCALE = (0.7, 1.8)
SPEED = 0.02  # deviation, of the frame's width per frame


@dataclass(frozen=True, eq=False)
class Occluder:
    """A cut-out: RGB uint8 (h, w, 3), its mask bool (h, w) and its id."""

    rgb: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    label: int


def cut_out(still: Clip, rng: np.random.Generator) -> Occluder | None:
    """Cut a connected region of one class out of a still, each class as likely; None where none has a fit size."""
    labels = still.labels[0]
    present = np.unique(labels[labels != IGNORE])
    if not present.size:
        return None
    label = int(rng.choice(present))
    _, regions, stats, _ = cv2.connectedComponentsWithStats((labels == label).astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA] / labels.size
    fit = [i for i in range(1, len(stats)) if AREA[0] <= areas[i] <= AREA[1]]
    if not fit:
        return None
    number = int(rng.choice(fit))
    left, top, width, height, _ = stats[number]
    box = np.s_[top : top + height, left : left + width]
    return Occluder(still.frames[0][box], regions[box] == number, label)


def pass_through(clip: Clip, occluder: Occluder, rng: np.random.Generator) -> None:
    """Move ``occluder`` through the frames, the labels and the flow, where it is known, of ``clip``, in place."""
    length, height, width, _ = clip.frames.shape
    scale = rng.uniform(*SCALE) * rng.choice([-1.0, 1.0], 1)[0]  # negative: mirrored
    start = rng.random(2) * [width, height]
    speed = rng.normal(0.0, SPEED * width, 2) * [1.0, 0.3]
    middle = np.array(occluder.mask.shape[::-1]) / 2
    for t in range(length):
        linear = np.diag([scale, abs(scale)])
        matrix = np.column_stack([linear, start + t * speed - linear @ middle])
        rgb = cv2.warpAffine(occluder.rgb, matrix, (width, height), flags=cv2.INTER_LINEAR)
        mask = cv2.warpAffine(occluder.mask.astype(np.float32), matrix, (width, height), flags=cv2.INTER_LINEAR)
        clip.labels[t][mask > 0.5] = occluder.label
        if clip.flow is not None and t < len(clip.flow):
            clip.flow[t][:, mask > 0.5] = speed[:, None]
        if clip.backward is not None and t > 0:
            clip.backward[t - 1][:, mask > 0.5] = -speed[:, None]
        alpha = cv2.blur(mask, (3, 3))[..., None] * mask[..., None]
        clip.frames[t] = alpha * rgb + (1 - alpha) * clip.frames[t]

"""Where and when the labels of a checkpoint flicker, for results.md."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vidseg_ros import open_stream
from vidseg_ros.data.datasets import open_dataset
from vidseg_ros.io.frame import Frame
from vidseg_ros.labels import IGNORE
from vidseg_ros.metrics import consistency

EDGES = (2, 4, 8, 16)  # pixels from a boundary of the truth
Ids = NDArray[np.uint8]


def predict(dataset: str, memory: str) -> tuple[list[int], Ids, Ids]:
    """Stamps in nanoseconds, and labels by the default and truth, uint8 (T, H, W), of a data set of one sequence."""
    stream = open_stream(engine="openvino", device="cpu", memory=memory)
    frames = open_dataset(dataset, stream.engine.labels)
    clips = [frame.read() for frame in frames]
    labels = [
        stream.segment(Frame(clip.frames[0], frame.stamp, frame.sequence)).labels
        for clip, frame in zip(clips, frames, strict=True)
    ]
    return [frame.stamp for frame in frames], np.stack(labels), np.concatenate([clip.labels for clip in clips])


def over_time(stamps: Sequence[int], labels: Ids, truth: Ids) -> tuple[list[float], list[float]]:
    """Seconds and Cons in percent of each pair of frames."""
    cons, _ = consistency(torch.from_numpy(labels), torch.from_numpy(truth))
    return (
        [round(1e-9 * (stamp - stamps[0]), 3) for stamp in stamps[1:]],
        [round(100 * value, 2) for value in cons.tolist()],
    )


def by_distance(labels: Ids, truth: Ids) -> tuple[list[float], list[float]]:
    """By distance from the nearest boundary of the truth: percentages of all pixels, over all pairs of frames.

    First of those that stay the same in truth, then of those among them that have labels of two kinds; the last
    distance is all beyond.
    """
    area, flicker = np.zeros(len(EDGES) + 1), np.zeros(len(EDGES) + 1)
    for before, after in pairwise(range(len(labels))):
        stays = (truth[before] == truth[after]) & (truth[after] != IGNORE)
        ring = np.digitize(distance(truth[after]), EDGES)
        area += np.bincount(ring[stays], minlength=len(area))
        flicker += np.bincount(ring[stays & (labels[before] != labels[after])], minlength=len(area))
    return (100 * area / area.sum()).round(2).tolist(), (100 * flicker / area.sum()).round(2).tolist()


def distance(truth: Ids) -> NDArray[np.float32]:
    """Pixels to the nearest boundary between labels, float32 (H, W)."""
    inside = np.ones(truth.shape, np.uint8)
    for axis in (0, 1):
        changes = np.diff(truth, axis=axis) != 0
        inside[tuple(slice(1, None) if a == axis else slice(None) for a in (0, 1))][changes] = 0
    return np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, 3), np.float32)

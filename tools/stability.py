"""Where and when the labels of a checkpoint flicker, for results.md."""

from itertools import pairwise

import cv2
import numpy as np
import torch

from vidseg_ros.checkpoints.checkpoint import load_checkpoint
from vidseg_ros.data.datasets import open_dataset
from vidseg_ros.engines import TorchEngine
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.io.frame import Frame
from vidseg_ros.labels import IGNORE
from vidseg_ros.metrics import consistency
from vidseg_ros.stream import FrameStream

EDGES = (2, 4, 8, 16)  # pixels from a boundary of the truth


def predict(checkpoint, dataset):
    """Return the stamps, and labels and truth uint8 (T, H, W), of a data set of one sequence."""
    network = load_checkpoint(checkpoint)
    stream = FrameStream(TorchEngine(network, EngineConfig(device="cpu")))
    frames = open_dataset(dataset, network.labels)
    clips = [frame.read() for frame in frames]
    labels = [
        stream.segment(Frame(clip.frames[0], frame.stamp, frame.sequence)).labels
        for clip, frame in zip(clips, frames, strict=True)
    ]
    return [frame.stamp for frame in frames], np.stack(labels), np.concatenate([clip.labels for clip in clips])


def over_time(stamps, labels, truth):
    """Return the seconds and Cons in percent of each pair of frames."""
    cons, _ = consistency(torch.from_numpy(labels), torch.from_numpy(truth))
    return [round(stamp - stamps[0], 3) for stamp in stamps[1:]], [round(100 * value, 2) for value in cons.tolist()]


def by_distance(stamps, labels, truth):
    """Return, by distance from the nearest boundary of the truth, the percentage of all pixels that stay the same in
    truth, and of those that have labels of two kinds. Over all pairs of frames; the last distance is all beyond."""
    area, flicker = np.zeros(len(EDGES) + 1), np.zeros(len(EDGES) + 1)
    for before, after in pairwise(range(len(labels))):
        stays = (truth[before] == truth[after]) & (truth[after] != IGNORE)
        ring = np.digitize(distance(truth[after]), EDGES)
        area += np.bincount(ring[stays], minlength=len(area))
        flicker += np.bincount(ring[stays & (labels[before] != labels[after])], minlength=len(area))
    return (100 * area / area.sum()).round(2).tolist(), (100 * flicker / area.sum()).round(2).tolist()


def distance(truth):
    """Return how many pixels away the nearest boundary between labels is, float32 (H, W)."""
    inside = np.ones(truth.shape, np.uint8)
    for axis in (0, 1):
        changes = np.diff(truth, axis=axis) != 0
        inside[tuple(slice(1, None) if a == axis else slice(None) for a in (0, 1))][changes] = 0
    return cv2.distanceTransform(inside, cv2.DIST_L2, 3)

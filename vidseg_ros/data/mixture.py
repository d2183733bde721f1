"""The clips of a training phase: a mixture of sources, each clip drawn from its number alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vidseg_ros.data.clip import Clip
from vidseg_ros.data.config import STREET, AugmentationConfig, SourceConfig
from vidseg_ros.data.datasets import open_dataset
from vidseg_ros.data.occluders import cut_out
from vidseg_ros.data.stills import still_to_clip, view_of_clip
from vidseg_ros.data.stored import StoredFrame, read_clip, sequences
from vidseg_ros.data.synthetic import street_clip
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID, IGNORE, LabelSet, translation

COUNTED_CLIPS = 100  # that class_frequency looks at
CACHED_PIXELS = 400_000_000  # of decoded stills that are kept: 4 bytes each


class Source(Protocol):
    """Draws clips."""

    def draw(self, number: int, rng: np.random.Generator, flow: bool = False) -> Clip:
        """Return the clip ``number``; the same ``number`` and state of ``rng`` give the same clip.

        ``flow`` asks for its exact flow, too, where that is known; all else stays the same.
        """
        ...


class Stills:
    """Moving views of labelled frames; each is taken once a round."""

    def __init__(
        self, frames: Sequence[StoredFrame], length: int, size: tuple[int, int], augmentation: AugmentationConfig
    ) -> None:
        self.frames = [frame for frame in frames if frame.label is not None]
        self.length, self.size, self.augmentation = length, size, augmentation
        pixels = self.frames[0].read().labels.size
        self.read = lru_cache(maxsize=CACHED_PIXELS // pixels)(StoredFrame.read)

    def draw(self, number: int, rng: np.random.Generator, flow: bool = False) -> Clip:
        """Return a clip over the still whose turn it is."""
        turn, place = divmod(number, len(self.frames))
        index = np.random.default_rng(turn).permutation(len(self.frames))[place]
        occluder = None
        if rng.random() < self.augmentation.occluders:
            occluder = cut_out(self.read(self.frames[rng.integers(len(self.frames))]), rng)
        still = self.read(self.frames[index])
        return still_to_clip(still, self.length, self.size, rng, self.augmentation, occluder, flow)


class Windows:
    """Consecutive frames of sequences, one of them labelled at least."""

    def __init__(
        self, frames: Sequence[StoredFrame], length: int, size: tuple[int, int], augmentation: AugmentationConfig
    ) -> None:
        self.windows = [
            run[start : start + length]
            for run in sequences(frames)
            for start in range(len(run) - length + 1)
            if any(frame.label for frame in run[start : start + length])
        ]
        self.size, self.augmentation = size, augmentation

    def draw(self, number: int, rng: np.random.Generator, flow: bool = False) -> Clip:
        """Return a random window; nobody knows its flow."""
        window = self.windows[rng.integers(len(self.windows))]
        return view_of_clip(read_clip(window), self.size, rng, self.augmentation)


class Street:
    """Drives through the street world, a new street each time."""

    def __init__(self, length: int, size: tuple[int, int], labels: LabelSet) -> None:
        self.length, self.size, self.table = length, size, translation(CAMVID, labels)

    def draw(self, number: int, rng: np.random.Generator, flow: bool = False) -> Clip:
        """Return a drive."""
        clip = street_clip(self.length, self.size, rng, flow)
        return replace(clip, labels=np.take(self.table, clip.labels))


def open_source(
    config: SourceConfig, length: int, size: tuple[int, int], labels: LabelSet, augmentation: AugmentationConfig
) -> Source:
    """Return the source that ``config`` names. Raises UserError where it has no labelled frame or is too short."""
    if config.source == STREET:
        return Street(length, size, labels)
    frames = open_dataset(config.source, labels)
    if not any(frame.label for frame in frames):
        raise UserError(f"data set '{config.source}' has no labelled frame; name another, or label it first")
    if config.stills or length == 1:
        return Stills(frames, length, size, augmentation)
    windows = Windows(frames, length, size, augmentation)
    if not windows.windows:
        raise UserError(
            f"data set '{config.source}' has no {length} consecutive frames; shorten clip_length or set stills: true"
        )
    return windows


class ClipDataset(Dataset[tuple[Tensor, ...]]):
    """Clips by number: frames uint8 (T, 3, H, W) and labels uint8 (T, H, W).

    ``flow`` adds the exact flow from each frame to the next, float32 (T - 1, 2, H, W) in pixels; all sources must know
    it (``SourceConfig.knows_flow``). The clip depends on ``seed`` and number only, whatever process draws it and
    whatever was drawn before.
    """

    def __init__(
        self, sources: Sequence[Source], shares: Sequence[float], seed: tuple[int, ...], flow: bool = False
    ) -> None:
        self.sources, self.seed, self.flow = sources, seed, flow
        self.shares = np.array(shares) / np.sum(shares)

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        rng = np.random.default_rng((*self.seed, number))
        source = self.sources[rng.choice(len(self.sources), p=self.shares)]
        clip = source.draw(number, rng, self.flow)
        seen = torch.from_numpy(clip.frames).permute(0, 3, 1, 2), torch.from_numpy(clip.labels)
        return seen if clip.flow is None else (*seen, torch.from_numpy(clip.flow))


def class_frequency(dataset: ClipDataset, classes: int) -> NDArray[np.float64]:
    """Return the share of each class among the labelled pixels of the first clips, (classes,).

    Raises UserError where there is none, for nothing could be learnt.
    """
    labels = (dataset[number][1].numpy() for number in range(COUNTED_CLIPS))
    counts = sum(np.bincount(clip.ravel(), minlength=IGNORE + 1)[:classes] for clip in labels)
    if not np.any(counts):
        raise UserError(f"no pixel of the first {COUNTED_CLIPS} clips is labelled; check the label files of the data")
    return np.asarray(counts / np.sum(counts))

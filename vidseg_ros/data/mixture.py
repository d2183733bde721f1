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
from vidseg_ros.data.datasets import open_dataset, open_video
from vidseg_ros.data.occluders import cut_out
from vidseg_ros.data.stills import still_to_clip
from vidseg_ros.data.stored import StoredFrame, label_shares
from vidseg_ros.data.synthetic import street_clip
from vidseg_ros.data.windows import Windows
from vidseg_ros.errors import UserError
from vidseg_ros.flow.estimator import FlowConfig, one_thread
from vidseg_ros.flow.opening import open_flow
from vidseg_ros.labels import CAMVID, LabelSet, find_label_set, translation

COUNTED_DRIVES = 100  # of the street world, which has no end: that label_shares looks at
CACHED_PIXELS = 400_000_000  # of decoded stills that are kept: 4 bytes each
TINY = 1e-12
NOWHERE = 1e6  # pixels: a flow that nobody knows leads out of the picture, where no term looks


class Source(Protocol):
    """Draws clips."""

    def draw(self, number: int, rng: np.random.Generator, flow: bool = False) -> Clip:
        """Return the clip ``number``; the same ``number`` and state of ``rng`` give the same clip.

        ``flow`` asks for its flow, too, where that is known; all else stays the same.
        """
        ...

    def label_shares(self) -> NDArray[np.float64]:
        """The share of each label id among all pixels of the source, IGNORE included, (256,)."""
        ...


class Stills:
    """Moving views of single frames; each is taken once a round."""

    def __init__(
        self, frames: Sequence[StoredFrame], length: int, size: tuple[int, int], augmentation: AugmentationConfig
    ) -> None:
        self.frames = frames
        self.length, self.size, self.augmentation = length, size, augmentation
        pixels = self.frames[0].read().labels.size
        self.read = lru_cache(maxsize=CACHED_PIXELS // pixels)(_read)

    def draw(self, number: int, rng: np.random.Generator, flow: bool = False) -> Clip:
        """Return a clip over the still whose turn it is."""
        turn, place = divmod(number, len(self.frames))
        index = int(np.random.default_rng(turn).permutation(len(self.frames))[place])
        occluder = None
        if rng.random() < self.augmentation.occluders:
            occluder = cut_out(self.read(self.frames[int(rng.integers(len(self.frames)))]), rng)
        still = self.read(self.frames[index])
        return still_to_clip(still, self.length, self.size, rng, self.augmentation, occluder, flow)

    def label_shares(self) -> NDArray[np.float64]:
        """Those of all frames."""
        return label_shares(map(self.read, self.frames))


def _read(frame: StoredFrame) -> Clip:
    return frame.read()


class StreetDrives:
    """Drives through the street world, a new street each time."""

    def __init__(self, length: int, size: tuple[int, int], labels: LabelSet) -> None:
        self.length, self.size, self.table = length, size, translation(CAMVID, labels)

    def draw(self, number: int, rng: np.random.Generator, flow: bool = False) -> Clip:
        """Return a drive."""
        clip = street_clip(self.length, self.size, rng, flow)
        return replace(clip, labels=np.take(self.table, clip.labels))

    def label_shares(self) -> NDArray[np.float64]:
        """Those of COUNTED_DRIVES drives."""
        return label_shares(self.draw(number, np.random.default_rng(number)) for number in range(COUNTED_DRIVES))


def open_source(
    config: SourceConfig,
    length: int,
    size: tuple[int, int],
    labels: LabelSet,
    augmentation: AugmentationConfig,
    flow: FlowConfig | None = None,
    last: bool = False,
) -> Source:
    """The source that ``config`` names; ``flow``: how that of its video is estimated; ``last``: clips end in a label.

    Raises UserError where it has no frame that counts or is too short.
    """
    if config.source == STREET:
        return StreetDrives(length, size, labels)
    written = find_label_set(config.labels)
    if config.unlabelled:
        frames = open_video(config.source, labels, written, config.fps)
    else:
        frames = open_dataset(config.source, labels, written)
    if not config.unlabelled and not any(frame.label for frame in frames):
        raise UserError(
            f"data set '{config.source}' has no labelled frame; name another, or label it first (or set unlabelled)"
        )
    if config.stills or length == 1:
        counted = [frame for frame in frames if config.unlabelled or frame.label is not None]
        return Stills(counted, length, size, augmentation)
    windows = Windows(frames, config, length, size, augmentation, flow, last)
    if not windows.places:
        near, wanted = config.frame_range, f"{length} consecutive frames"
        wanted = f"{length} frames within {near} of one" if near else wanted
        wanted += " of which the last is labelled" if last else ""
        raise UserError(f"data set '{config.source}' has no {wanted}; shorten clip_length or set stills: true")
    return windows


class ClipDataset(Dataset[tuple[Tensor, ...]]):
    """Clips by number: frames uint8 (T, 3, H, W) and labels uint8 (T, H, W).

    ``flow`` adds the flow from each frame to the next, float32 (T - 1, 2, H, W) in pixels: exact where a source knows
    it, estimated elsewhere, NOWHERE where it does not say. ``memory`` adds both directions, for networks that remember
    along the flow, of MEMORY_FLOWS; to the next frame, and from each frame but the first to the one before: NOWHERE, so
    that nothing is remembered, where a source says that its frames are too far apart for an estimate. The clip
    depends on ``seed`` and number only, whatever process draws it and whatever was drawn before.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        shares: Sequence[float],
        seed: tuple[int, ...],
        flow: bool = False,
        memory: str = "",
    ) -> None:
        self.sources, self.seed, self.flow, self.memory = sources, seed, flow, memory
        self.shares = np.array(shares) / np.sum(shares)

    def clip(self, number: int, flow: bool = False) -> Clip:
        """Return the clip ``number``; ``flow`` asks for its flow, too."""
        rng = np.random.default_rng((*self.seed, number))
        source = self.sources[rng.choice(len(self.sources), p=self.shares)]
        return source.draw(number, rng, flow)

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        clip = self.clip(number, self.flow or self.memory != "")
        seen = torch.from_numpy(clip.frames).permute(0, 3, 1, 2), torch.from_numpy(clip.labels)
        return *seen, *(torch.from_numpy(flow) for flow in self._flows(clip))

    def _flows(self, clip: Clip) -> list[NDArray[np.float32]]:
        """What of the flow is wanted: nothing, that to the next frame, or that and the one to the frame before."""
        count = 2 if self.memory else int(self.flow)
        if clip.flow is None:
            return count * [np.full((len(clip) - 1, 2, *clip.labels.shape[1:]), NOWHERE, np.float32)]
        if count < 2:
            return count * [clip.flow]
        exact = self.memory == "exact"
        forward = clip.flow if exact or self.flow else estimated_flow(clip.frames[:-1], clip.frames[1:])
        if exact and clip.backward is not None:
            return [forward, clip.backward]
        return [forward, estimated_flow(clip.frames[1:], clip.frames[:-1])]


def estimated_flow(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The flow from each of the ``first`` frames to its ``second``, RGB uint8 (T, H, W, 3), as streams estimate it."""
    estimate = open_flow(FlowConfig())
    with one_thread():
        flows = [estimate(*pair) for pair in zip(first, second, strict=True)]
    return np.stack(flows) if flows else np.empty((0, 2, *first.shape[1:3]), np.float32)


def class_frequency(dataset: ClipDataset, classes: int, labelled: bool = True) -> NDArray[np.float64]:
    """Return the share of each class among the labelled pixels of all the data, (classes,).

    Raises UserError where data that should be ``labelled`` is not, for nothing could be learnt from it.
    """
    drawn = [(share, source) for share, source in zip(dataset.shares, dataset.sources, strict=True) if share]
    shares = sum((share * source.label_shares()[:classes] for share, source in drawn), np.zeros(classes))
    if labelled and not np.any(shares):
        raise UserError("no pixel of the data is labelled; check its label files")
    return np.asarray(shares / max(np.sum(shares), TINY))

"""Clips of the frames of sequences: consecutive ones, or drawn at random around a middle one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.data.clip import Clip
from vidseg_ros.data.config import AugmentationConfig, SourceConfig
from vidseg_ros.data.stills import view_of_clip
from vidseg_ros.data.stored import StoredFrame, label_shares, read_clip, sequences
from vidseg_ros.flow.estimator import FlowConfig
from vidseg_ros.flow.opening import open_flow


class Windows:
    """Frames of sequences, in their order.

    Without ``frame_range`` they are consecutive, the ``last`` one labelled, or one at least. With it they are a
    labelled frame and others at most so many frames before or behind it, half of them on each side (ETC's random
    sampling), or all before it where it has to be the ``last``. Where ``unlabelled`` frames are taken, every frame
    counts as labelled.
    """

    def __init__(
        self,
        frames: Sequence[StoredFrame],
        config: SourceConfig,
        length: int,
        size: tuple[int, int],
        augmentation: AugmentationConfig,
        flow: FlowConfig | None = None,
        last: bool = False,
    ) -> None:
        self.config, self.length, self.size, self.augmentation = config, length, size, augmentation
        self.flow, self.last = flow or FlowConfig(), last
        runs = sequences(frames)
        self.places = [(run, place) for run in runs for place in range(len(run)) if self._fits(run, place)]

    def _fits(self, run: Sequence[StoredFrame], place: int) -> bool:
        """Whether a clip can have ``place`` as its middle, or its first frame where its frames are consecutive."""
        reach = self.config.frame_range
        if not reach:
            window = run[place : place + self.length]
            return len(window) == self.length and any(map(self._counts, window[-1:] if self.last else window))
        near = (place if self.last else min(place + reach, len(run) - 1)) - max(place - reach, 0)
        return near >= self.length - 1 and self._counts(run[place])

    def _counts(self, frame: StoredFrame) -> bool:
        return self.config.unlabelled or frame.label is not None

    def draw(self, number: int, rng: np.random.Generator, flow: bool = False) -> Clip:
        """Return a random clip; ``flow`` asks for an estimate of its flow, too, which changes nothing else."""
        run, place = self.places[rng.integers(len(self.places))]
        chosen: Sequence[int] = range(place, place + self.length)
        if self.config.frame_range:
            count = place + 1 if self.last else len(run)
            chosen = around(place, self.length, self.config.frame_range, count, rng)
        clip = read_clip([run[index] for index in chosen])
        estimate = open_flow(self.flow) if flow and self.config.estimate_flow else None
        return view_of_clip(clip, self.size, rng, self.augmentation, estimate)

    def label_shares(self) -> NDArray[np.float64]:
        """Those of all labelled frames that clips show."""
        shown = {id(run): run for run, _ in self.places}.values()
        return label_shares(frame.read() for run in shown for frame in run if frame.label is not None)


def around(middle: int, length: int, reach: int, count: int, rng: np.random.Generator) -> Sequence[int]:
    """Draw ``length`` of ``count`` frames that rise: ``middle`` and others at most ``reach`` from it, on both sides."""
    before = np.arange(max(middle - reach, 0), middle)
    behind = np.arange(middle + 1, min(middle + reach, count - 1) + 1)
    others = length - 1
    first = (others + int(rng.integers(2))) // 2  # an odd one is on either side
    first = max(min(first, len(before)), others - len(behind))
    sides = rng.choice(before, first, replace=False), rng.choice(behind, others - first, replace=False)
    return sorted([middle, *map(int, np.concatenate(sides))])

"""The clips of a phase, drawn by number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cv2
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from vidseg_ros.data.mixture import ClipDataset, open_source
from vidseg_ros.labels import LabelSet
from vidseg_ros.training.config import PhaseConfig, TrainConfig, phase_network

AHEAD = 4  # batches that each process draws ahead


def clips_of(config: TrainConfig, phase: PhaseConfig, labels: LabelSet, number: int) -> ClipDataset:
    """The clips of phase ``number``."""
    used = [source for source in config.data if source.share > 0]
    shape, last = (phase.clip_length, config.network.input.size), phase.supervise == "last"
    sources = [open_source(source, *shape, labels, config.augmentation, config.flow, last) for source in used]
    memory = config.memory_flow if phase_network(config.network, phase).needs_flow else ""
    shares = [source.share for source in used]
    return ClipDataset(sources, shares, (config.seed, number), config.loss.needs_flow, memory)


class StepSampler(Sampler[list[int]]):
    """Clip numbers of each step from ``first()`` to ``steps``, this process's share of the batch.

    Clips are numbered through the phase, so a run that was killed goes on with those that it has not seen, and
    ``world`` processes see together what one would.
    """

    def __init__(self, first: Callable[[], int], steps: int, batch: int, rank: int = 0, world: int = 1) -> None:
        self.first, self.steps, self.batch = first, steps, batch
        self.rank, self.world = rank, world

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.first(), self.steps):
            yield list(range(step * self.batch + self.rank, (step + 1) * self.batch, self.world))

    def __len__(self) -> int:
        return self.steps


def loader(
    dataset: ClipDataset, sampler: StepSampler, workers: int, pinned: bool = False
) -> DataLoader[tuple[Tensor, ...]]:
    """Draw clips, ahead of the steps where ``workers`` processes do it, each with one thread; ``pinned`` for a GPU."""
    ahead: dict[str, Any] = {}
    if workers:
        cv2.setNumThreads(1)  # here: threads do not outlive a fork, and to end them in a worker waits for ever
        ahead = {"prefetch_factor": AHEAD, "persistent_workers": True}
    return DataLoader(dataset, batch_sampler=sampler, num_workers=workers, pin_memory=pinned, **ahead)

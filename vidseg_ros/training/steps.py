"""Which clips make up each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch.utils.data import Sampler


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

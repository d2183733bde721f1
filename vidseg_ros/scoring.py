"""Judge label images as they come, one after the other."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidseg_ros.labels import LabelSet
from vidseg_ros.metrics import Consistency, SegmentationScore

FIGURES = ("miou", "acc", "cons", "consw")


class RunningScore:
    """mIoU, Acc, Cons and ConsW of one stream so far."""

    def __init__(self, labels: LabelSet) -> None:
        self._score, self._stability = SegmentationScore(len(labels)), Consistency()
        self._last: tuple[Tensor, Tensor] | None = None
        self.frames = 0

    def add(self, prediction: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
        """Take in the next frame: ids, uint8 (H, W) each."""
        now = torch.from_numpy(np.ascontiguousarray(prediction)), torch.from_numpy(np.ascontiguousarray(truth))
        self._score.update(*now)
        if self._last is not None and self._last[0].shape == now[0].shape:
            self._stability.update(*(torch.stack(pair) for pair in zip(self._last, now, strict=True)))
        self._last = now
        self.frames += 1

    def interrupt(self) -> None:
        """Say that the next frame does not follow the last one."""
        self._last = None

    def report(self) -> dict[str, float | None]:
        """Return ``miou``, ``acc``, ``cons`` and ``consw`` in percent, to hundredths; None for what nothing shows."""
        figures: dict[str, Tensor] = {}
        if self.frames:
            figures |= self._score.compute()
        if self._stability.update_called:
            figures |= self._stability.compute()
        return {name: _number(figures.get(name)) for name in FIGURES}


def _number(value: Tensor | None) -> float | None:
    return None if value is None or value.isnan() else round(value.item(), 2)

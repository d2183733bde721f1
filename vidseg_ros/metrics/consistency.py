"""Cons and ConsW of the F2F paper: do labels stay where the truth stays?"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from vidseg_ros.labels import IGNORE


def consistency(predictions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Compare consecutive frames of one sequence.

    predictions, labels: integer (T, H, W). Among the pixels D that are labelled alike in both frames of a pair,
    Cons is the share with equal predictions and ConsW the share with equal and wrong ones (F2F paper, section 4).
    Returns both, in 0..1, float64 (T-1,); NaN where D is empty.
    """
    stable = (labels[1:] == labels[:-1]) & (labels[1:] != IGNORE)
    equal = stable & (predictions[1:] == predictions[:-1])
    wrong = equal & (predictions[1:] != labels[1:])
    pixels = stable.flatten(1).sum(1).double()
    return equal.flatten(1).sum(1) / pixels, wrong.flatten(1).sum(1) / pixels


class Consistency(Metric):
    """Mean of Cons and ConsW over frame pairs; feed it pairs or clips of one sequence at a time."""

    full_state_update = False
    cons: Tensor
    consw: Tensor
    pairs: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("cons", "consw", "pairs"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, labels: Tensor) -> None:
        """Add a clip, integer (T, H, W) each; pairs without a stable pixel do not count."""
        cons, consw = consistency(predictions, labels)
        counted = ~cons.isnan()
        self.cons += cons[counted].sum()
        self.consw += consw[counted].sum()
        self.pairs += counted.sum()

    def compute(self) -> dict[str, Tensor]:
        """``cons`` and ``consw`` in percent; NaN without pairs."""
        return {"cons": 100 * self.cons / self.pairs, "consw": 100 * self.consw / self.pairs}

"""Raw flicker rate: how often labels change from frame to frame, whatever the reason."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


def flicker(before: Tensor, now: Tensor, classes: int) -> Tensor:
    """Count pixels by their id ``before``, first those with another id ``now``, then all; int64 (2, classes).

    before, now: predictions of consecutive frames, integer (H, W). Ids outside the classes are left out.
    """
    known = before < classes
    ids = before[known].long()
    changed = ids[(before != now)[known]]
    return torch.stack([torch.bincount(part, minlength=classes) for part in (changed, ids)])


class Flicker(Metric):
    """Accumulates over pairs; ``compute`` gives percentages."""

    full_state_update = False
    counts: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.add_state("counts", torch.zeros(2, classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, before: Tensor, now: Tensor) -> None:
        """Add predictions of consecutive frames, integer (H, W)."""
        self.counts += flicker(before, now, self.classes)

    def compute(self) -> dict[str, Tensor]:
        """``flicker`` (scalar) and ``flicker_by_class`` (classes,), in percent; NaN for an absent class."""
        changed, pixels = self.counts.double()
        return {"flicker": 100 * changed.sum() / pixels.sum(), "flicker_by_class": 100 * changed / pixels}

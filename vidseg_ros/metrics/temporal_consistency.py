"""TC of ETC (Liu et al. 2020): do labels follow the motion of the picture? It needs no ground truth."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from vidseg_ros.flow.motion import follow, sample
from vidseg_ros.flow.warp import places
from vidseg_ros.labels import IGNORE
from vidseg_ros.metrics.confusion import confusion_matrix


def published_agreement(now: Tensor, later: Tensor, flow: Tensor, classes: int) -> Tensor:
    """Compare two predictions as the public code of ETC does; int64 (classes, classes + 1), see ``confusion_matrix``.

    now, later: ids uint8 (H, W); flow from ``now`` to ``later`` (2, H, W). The ids of ``later`` are warped as if they
    were grey levels: bilinearly, and cut to whole numbers. Pixels that are hidden or outside count as well.
    """
    return confusion_matrix(sample(later, *places(flow)).to(torch.uint8), now, classes)


def visible_agreement(now: Tensor, later: Tensor, flow: Tensor, seen: Tensor, classes: int) -> Tensor:
    """Compare two predictions where ``seen``, bool (H, W), with the nearest id; int64 (classes, classes + 1)."""
    return confusion_matrix(follow(later, flow), now.where(seen, IGNORE), classes)


class TemporalConsistency(Metric):
    """Accumulates both forms over pairs; ``compute`` gives percentages."""

    full_state_update = False
    published: Tensor
    aware: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        for name in ("published", "aware"):
            self.add_state(name, torch.zeros(classes, classes + 1, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, now: Tensor, later: Tensor, flow: Tensor, seen: Tensor) -> None:
        """Add consecutive predictions, ids uint8 (H, W), the flow between their frames and where it can be seen."""
        self.published += published_agreement(now, later, flow, self.classes)
        self.aware += visible_agreement(now, later, flow, seen, self.classes)

    def compute(self) -> dict[str, Tensor]:
        """Mean IoUs in percent, NaN without pairs.

        ``tc``: as published; a class that never occurs counts as 0. ``tc_visible``: occlusion-aware, over the classes
        that occur.
        """
        published = self._iou(self.published)
        plain = published.nan_to_num(0).mean() if self.published.any() else published.mean()
        return {"tc": plain, "tc_visible": self._iou(self.aware).nanmean()}

    def _iou(self, matrix: Tensor) -> Tensor:
        both = matrix.diagonal().double()
        return 100 * both / (matrix.sum(1) + matrix[:, : self.classes].sum(0) - both)

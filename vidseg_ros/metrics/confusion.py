"""mIoU and accuracy from one confusion matrix over the whole data set."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from vidseg_ros.labels import IGNORE


def confusion_matrix(predictions: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Count pixels by true (row) and predicted (column) class, int64 (classes, classes + 1).

    predictions, labels: integer tensors of one shape. Unlabelled pixels are left out; the last column holds
    predictions outside the label set.
    """
    known = labels != IGNORE
    predicted = predictions[known].long().clamp(max=classes)
    pairs = labels[known].long() * (classes + 1) + predicted
    return torch.bincount(pairs, minlength=classes * (classes + 1)).view(classes, classes + 1)


class SegmentationScore(Metric):
    """Accumulates a confusion matrix; ``compute`` gives percentages."""

    full_state_update = False
    matrix: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.add_state("matrix", torch.zeros(classes, classes + 1, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, labels: Tensor) -> None:
        """Add integer tensors of one shape."""
        self.matrix += confusion_matrix(predictions, labels, self.classes)

    def compute(self) -> dict[str, Tensor]:
        """``miou`` and ``acc`` (scalars) and ``iou`` (classes,), in percent; NaN for an absent class."""
        right = self.matrix.diagonal().double()
        union = self.matrix.sum(1) + self.matrix[:, : self.classes].sum(0) - right
        iou = 100 * right / union
        return {"miou": iou.nanmean(), "acc": 100 * right.sum() / self.matrix.sum(), "iou": iou}

"""Class-weighted cross entropy."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vidseg_ros.labels import IGNORE


def class_weights(frequency: Tensor, power: float = 1.0) -> Tensor:
    """Return 1 / ln(1.10 + p) to the ``power``, for class frequencies p, float (C,) that sum to one (ENet; ESPNet).

    Weights make a network say rare classes more often than they are right: its probabilities are those of the data
    times the weights. A power below 1 takes part of that back, 0 all.
    """
    return torch.log(1.10 + frequency) ** -power


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cross entropy over labelled pixels, each weighted by the weight of its class.

    logits: (..., C, H, W), labels: integer (..., H, W) with IGNORE, weights: (C,). Returns a scalar, 0 where no
    pixel is labelled.
    """
    classes = logits.shape[-3]
    flat, target = logits.reshape(-1, classes, *logits.shape[-2:]), labels.reshape(-1, *labels.shape[-2:]).long()
    total = functional.cross_entropy(flat, target, weights, ignore_index=IGNORE, reduction="sum")
    known = target != IGNORE
    share = known if weights is None else weights[target.masked_fill(~known, 0)] * known
    return total / share.sum().clamp(min=1e-6)

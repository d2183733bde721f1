"""What training minimises."""

from __future__ import annotations

import torch
from torch import Tensor

from vidseg_ros.losses.cross_entropy import cross_entropy
from vidseg_ros.losses.inconsistency import inconsistency


def clip_loss(
    logits: Tensor, labels: Tensor, weights: Tensor | None = None, lambda_incons: float = 10.0
) -> dict[str, Tensor]:
    """Cross entropy plus ``lambda_incons`` times inconsistency (F2F paper, equation (1) with lambda_ce = 1).

    logits: (T, N, C, H, W), labels: integer (T, N, H, W). Returns the scalars ``total``, ``ce`` and ``incons``.
    """
    ce = cross_entropy(logits, labels, weights)
    incons = inconsistency(logits.softmax(2), labels) if len(logits) > 1 else torch.zeros_like(ce)
    return {"total": ce + lambda_incons * incons, "ce": ce, "incons": incons}

"""What training minimises."""

from __future__ import annotations

import torch
from torch import Tensor

from vidseg_ros.losses.config import LossConfig
from vidseg_ros.losses.cross_entropy import cross_entropy
from vidseg_ros.losses.inconsistency import inconsistency


def clip_loss(
    logits: Tensor, labels: Tensor, weights: Tensor | None = None, config: LossConfig | None = None
) -> dict[str, Tensor]:
    """Cross entropy plus ``lambda_incons`` times inconsistency (F2F paper, equation (1) with lambda_ce = 1).

    logits: (T, N, C, H, W), labels: integer (T, N, H, W). Returns the scalars ``total``, ``ce`` and ``incons``.
    """
    config = config or LossConfig()
    ce = cross_entropy(logits, labels, weights)
    if len(logits) == 1:
        incons = torch.zeros_like(ce)
    else:
        absolute, all_classes = config.difference == "absolute", config.compared == "all"
        incons = inconsistency(logits.softmax(2), labels, absolute, all_classes, config.dilation)
    return {"total": ce + config.lambda_incons * incons, "ce": ce, "incons": incons}

"""The inconsistency loss of the F2F paper, equations (2) to (6), and the variants of its public code."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vidseg_ros.labels import IGNORE

CROSS = ((0.0, 1.0, 0.0), (1.0, 1.0, 1.0), (0.0, 1.0, 0.0))  # a pixel and its four neighbours


def inconsistency(
    probabilities: Tensor, labels: Tensor, absolute: bool = False, all_classes: bool = False, dilation: int = 0
) -> Tensor:
    """Penalise probabilities that change where the truth stays and one of the two frames is right.

    probabilities: (T, N, C, H, W), sums of one over C. labels: integer (T, N, H, W) with IGNORE. ``absolute`` takes
    the absolute instead of the squared difference, ``all_classes`` sums it over all classes instead of the true one.
    ``dilation`` leaves out, as the public code does with 2, what lies within as many steps to one of four
    neighbours from a changing truth. Returns a scalar, 0 for clips of one frame; at most 1, or 2 with ``all_classes``.
    """
    labels = labels.long()
    valid = (labels[:-1] != IGNORE) & (labels[1:] != IGNORE)
    changed = valid & (labels[:-1] != labels[1:])
    stable = valid & ~dilate(changed, dilation)
    right = probabilities.argmax(2) == labels
    affected = stable & (right[:-1] | right[1:])
    if all_classes:
        change = probabilities[1:] - probabilities[:-1]
    else:
        true_class = labels[:-1].masked_fill(~stable, 0).unsqueeze(2)
        change = probabilities[1:].gather(2, true_class) - probabilities[:-1].gather(2, true_class)
    difference = (change.abs() if absolute else change.square()).sum(2)
    return (difference * affected).sum() / stable.sum().clamp(min=1)


def dilate(mask: Tensor, steps: int) -> Tensor:
    """Grow a bool mask (..., H, W) by ``steps`` to its four neighbours."""
    kernel = mask.new_tensor(CROSS, dtype=torch.float32)[None, None]
    grown = mask.flatten(0, -3).unsqueeze(1)
    for _ in range(steps):
        grown = functional.conv2d(grown.to(kernel.dtype), kernel, padding=1) > 0
    return grown.view_as(mask)

"""The inconsistency loss of the F2F paper, equations (2) to (6), and the variants of its public code."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidseg_ros.labels import IGNORE

CROSS = ((0.0, 1.0, 0.0), (1.0, 1.0, 1.0), (0.0, 1.0, 0.0))  # a pixel and its four neighbours


@dataclass(frozen=True)
class Rule:
    """Which changes of probabilities count, and over which pixels their mean is taken.

    Pixels count whose truth is known and the same in both frames, and changes nowhere within ``dilation`` steps to one
    of four neighbours.
    """

    absolute: bool = False  # difference, else squared
    all_classes: bool = False  # the sum over all, else the true one
    right: str = "either"  # which prediction has to be right: one or both, just "one" (XOR), or "any" for none
    threshold: float = 0.0  # both probabilities of a class have to be above it
    dilation: int = 0
    over_valid: bool = False  # the mean over pixels whose truth is known in both frames, else over those that count


CODE = {
    "sq_diff_true": Rule(dilation=2, over_valid=True),
    "abs_diff_true": Rule(absolute=True, dilation=2, over_valid=True),
    "sq_diff_true_XOR": Rule(right="one", dilation=2, over_valid=True),
    "sq_diff": Rule(all_classes=True, right="any", dilation=2, over_valid=True),
    "abs_diff": Rule(absolute=True, all_classes=True, right="any", dilation=2, over_valid=True),
    "abs_diff_th20": Rule(True, True, "any", threshold=0.2, dilation=2, over_valid=True),
}
"""The public code's variants, by its names; its seventh compares labels, which nothing can learn from."""


def inconsistency(probabilities: Tensor, labels: Tensor, rule: Rule = Rule()) -> Tensor:
    """Penalise probabilities that change where the truth stays and, but for a ``rule``, one of the two frames is right.

    probabilities: (T, N, C, H, W), sums of one over C. labels: integer (T, N, H, W) with IGNORE. Returns a scalar, 0
    for clips of one frame; at most 1, or 2 over all classes.
    """
    labels = labels.long()
    valid = (labels[:-1] != IGNORE) & (labels[1:] != IGNORE)
    changed = valid & (labels[:-1] != labels[1:])
    stable = valid & ~dilate(changed, rule.dilation)
    right = probabilities.argmax(2) == labels
    before, now = probabilities[:-1], probabilities[1:]
    if not rule.all_classes:
        true_class = labels[:-1].masked_fill(~stable, 0).unsqueeze(2)
        before, now = before.gather(2, true_class), now.gather(2, true_class)
    change = now - before
    difference = change.abs() if rule.absolute else change.square()
    if rule.threshold:
        difference = difference * (torch.minimum(before, now) > rule.threshold)
    affected = stable & _deserving(right[:-1], right[1:], rule)
    return (difference.sum(2) * affected).sum() / (valid if rule.over_valid else stable).sum().clamp(min=1)


def _deserving(before: Tensor, now: Tensor, rule: Rule) -> Tensor:
    """Where a change counts, by where the two predictions are right."""
    if rule.right == "any":
        return torch.ones_like(before)
    return before ^ now if rule.right == "one" else before | now


def dilate(mask: Tensor, steps: int) -> Tensor:
    """Grow a bool mask (..., H, W) by ``steps`` to its four neighbours."""
    kernel = mask.new_tensor(CROSS, dtype=torch.float32)[None, None]
    grown = mask.flatten(0, -3).unsqueeze(1)
    for _ in range(steps):
        grown = functional.conv2d(grown.to(kernel.dtype), kernel, padding=1) > 0
    return grown.view_as(mask)

"""The inconsistency loss of the F2F paper, equations (2) to (6)."""

from __future__ import annotations

from torch import Tensor

from vidseg_ros.labels import IGNORE


def inconsistency(probabilities: Tensor, labels: Tensor, absolute: bool = False) -> Tensor:
    """Penalise a changing probability of the true class where the truth stays and one of the two frames is right.

    probabilities: (T, N, C, H, W), sums of one over C. labels: integer (T, N, H, W) with IGNORE. ``absolute`` takes
    the absolute instead of the squared difference. Returns a scalar in 0..1; 0 for clips of one frame.
    """
    labels = labels.long()
    stable = (labels[:-1] == labels[1:]) & (labels[:-1] != IGNORE)
    right = probabilities.argmax(2) == labels
    affected = stable & (right[:-1] | right[1:])
    true_class = labels[:-1].masked_fill(~stable, 0).unsqueeze(2)
    now, then = (p.gather(2, true_class).squeeze(2) for p in (probabilities[1:], probabilities[:-1]))
    difference = (now - then).abs() if absolute else (now - then).square()
    return (difference * affected).sum() / stable.sum().clamp(min=1)

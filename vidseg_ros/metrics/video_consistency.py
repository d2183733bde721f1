"""VC of the VSPW benchmark (Miao et al. 2021): are pixels right, all through a window of frames?"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from vidseg_ros.labels import IGNORE


def video_consistency(predictions: Tensor, labels: Tensor, window: int) -> Tensor:
    """Evaluator every window of consecutive frames of one sequence.

    predictions, labels: integer (T, H, W). Among the pixels whose true label is known and one through a window, the
    share that is predicted right in all its frames. (The public code does not ask whether the constant prediction is
    right, counts unlabelled pixels and drops the last window.) Returns 0..1, float64 (max(T - window + 1, 0),); NaN
    where no pixel is constant.
    """
    if len(labels) < window:
        return torch.empty(0, dtype=torch.float64, device=labels.device)
    right = (predictions == labels).unfold(0, window, 1).all(-1)
    truth = labels.unfold(0, window, 1)
    constant = (truth == truth[..., :1]).all(-1) & (truth[..., 0] != IGNORE)
    return (right & constant).flatten(1).sum(1) / constant.flatten(1).sum(1).double()


class VideoConsistency(Metric):
    """Mean of VC over windows; feed it windows or clips of one sequence at a time, each window once."""

    full_state_update = False
    total: Tensor
    windows: Tensor

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window
        for name in ("total", "windows"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, labels: Tensor) -> None:
        """Add a clip, integer (T, H, W) each; windows without a constant pixel do not count."""
        shares = video_consistency(predictions, labels, self.window)
        counted = ~shares.isnan()
        self.total += shares[counted].sum()
        self.windows += counted.sum()

    def compute(self) -> Tensor:
        """VC in percent; NaN without windows."""
        return 100 * self.total / self.windows

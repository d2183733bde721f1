"""What a teacher is, and what all share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vidseg_ros.labels import LabelSet

IMPOSSIBLE = 1e-12  # a probability


class Prediction(NamedTuple):
    """What a teacher says of frames, each by itself: class probabilities (N, classes, H, W), and what it saw.

    features: (N, F, h, w), what its head sees of them; the probabilities where that is not known.
    """

    probabilities: Tensor
    features: Tensor


class Labeler(Protocol):
    """Looks at the frames of a video, one after another."""

    labels: LabelSet

    def begin(self) -> None:
        """Begin a new video."""

    def logits(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Logarithms of the probability of each class at each pixel of a frame (H, W, 3): float32 (classes, H, W).

        On the teacher's device. Probabilities may sum up to less than 1: the rest goes to classes that the label set
        has not.
        """


class Teacher(Labeler, Protocol):
    """Looks at many frames, too, each by itself."""

    def predict(self, frames: Tensor) -> Prediction:
        """Predictions of RGB frames uint8 (N, 3, H, W) on the teacher's device, each with a fresh memory.

        Without gradient, at the size of the frames; scales are multiples of that size.
        """

    def to(self, device: torch.device) -> None:
        """Move to a device."""

    def compile(self) -> None:
        """Use torch.compile."""


def log_probabilities(probabilities: Tensor) -> Tensor:
    """Finite logarithms, also of what is impossible."""
    return probabilities.clamp(min=IMPOSSIBLE).log()


def mirrored(images: Tensor, mirror: bool) -> Tensor:
    """Images (..., W), or their mirror images."""
    return images.flip(-1) if mirror else images


def resized(images: Tensor, size: Sequence[int]) -> Tensor:
    """Images (N, C, h, w) at (height, width) ``size``, bilinearly."""
    return F.interpolate(images, tuple(size), mode="bilinear", align_corners=False)

"""Frames as a camera has them on a bad day: what a memory is good for, in training and in judging."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

NOISE = 20.0  # deviation, grey levels
EXPOSURE = 0.4  # deviation of the logarithm of the gain
BLUR = 0.01  # deviation, of the frame's width
PATCHES, PATCH = 6, 1 / 6  # how many, and their sides, of the frame's


def noisy(rgb: Image, rng: np.random.Generator) -> Image:
    """RGB uint8 (H, W, 3) with the noise of a sensor in the dark."""
    return np.clip(rgb + rng.normal(0.0, NOISE, rgb.shape), 0, 255).astype(np.uint8)


def exposed(rgb: Image, rng: np.random.Generator) -> Image:
    """A frame of another exposure."""
    return np.asarray(cv2.convertScaleAbs(rgb, alpha=float(np.exp(rng.normal(0.0, EXPOSURE)))), np.uint8)


def blurred(rgb: Image, rng: np.random.Generator) -> Image:
    """A frame out of focus; the same for each draw."""
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), BLUR * rgb.shape[1]), np.uint8)


def covered(rgb: Image, rng: np.random.Generator) -> Image:
    """A frame with black patches: what fell on the lens, or was lost on the way."""
    out, (height, width) = rgb.copy(), rgb.shape[:2]
    tall, wide = round(PATCH * height), round(PATCH * width)
    for top, left in rng.integers(0, (height - tall + 1, width - wide + 1), (PATCHES, 2)):
        out[top : top + tall, left : left + wide] = 0
    return out


DISTURBANCES: Mapping[str, Callable[[Image, np.random.Generator], Image]] = {
    "noise": noisy,
    "exposure": exposed,
    "blur": blurred,
    "cover": covered,
}


def disturb(frames: Image, rng: np.random.Generator, share: float) -> Image:
    """Disturb so large a ``share`` of RGB uint8 frames (T, H, W, 3), each in one way drawn by lot."""
    ways = list(DISTURBANCES.values())
    return np.stack([ways[rng.integers(len(ways))](f, rng) if rng.random() < share else f for f in frames])

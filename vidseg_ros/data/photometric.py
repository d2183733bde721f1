"""What a camera and the sun do to frames: exposure, tint, flicker, noise, blur and moving shadows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.data.config import AugmentationConfig

GAMMA = 0.2  # deviation of a clip's logarithm of gamma
TINT = 0.06  # deviation of a clip's logarithm of each channel's gain
SHADE = (0.35, 0.8)  # light that is left in a shadow
PENUMBRA = 0.01  # of the frame's width
PLACES = 1 << 16  # at which the noise of a frame may begin
Floats = NDArray[np.float32]


def change_light(
    frames: NDArray[np.uint8], rng: np.random.Generator, augmentation: AugmentationConfig
) -> NDArray[np.uint8]:
    """Give RGB uint8 (T, H, W, 3) one exposure, gamma and tint a clip, and flicker, noise and blur a frame."""
    gamma, gain = np.exp(rng.normal(0.0, GAMMA)), np.exp(rng.normal(0.0, augmentation.exposure))
    tint = np.exp(rng.normal(0.0, TINT, 3))
    sigma, blur = rng.uniform(0.0, augmentation.noise), rng.random() < augmentation.blur
    levels = np.linspace(0.0, 1.0, 256) ** gamma
    shadow = _shadow(frames.shape, rng) if rng.random() < augmentation.shadows else None
    out = np.empty_like(frames)
    for frame, lit in zip(frames, out, strict=True):
        flicker = np.exp(rng.normal(0.0, augmentation.flicker))
        table = np.clip(255.0 * gain * flicker * tint * levels[:, None], 0, 255).astype(np.uint8)
        bright = np.asarray(cv2.LUT(cv2.GaussianBlur(frame, (3, 3), 0) if blur else frame, table[None]))
        if shadow is not None:
            bright = np.asarray(cv2.multiply(bright, next(shadow), scale=1 / 255))
        cv2.addWeighted(bright.astype(np.float32), 1.0, _noise(frame.shape, rng), sigma, 0.0, lit, cv2.CV_8U)
    return out


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """White noise of deviation 1: a random piece of a longer row of it, since to draw each frame anew takes longest."""
    count = int(np.prod(shape))
    start = rng.integers(PLACES)
    return _row_of_noise(count + PLACES)[start : start + count].reshape(shape)


@lru_cache(maxsize=2)
def _row_of_noise(count: int) -> Floats:
    return np.random.default_rng(0).standard_normal(count, np.float32)


def _shadow(shape: tuple[int, ...], rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """Yield the light left, of 255, by a band of shade that wanders through frames of (T, H, W, 3) ``shape``."""
    _, height, width, _ = shape
    angle = rng.uniform(0.0, np.pi)
    rows, columns = np.mgrid[:height, :width].astype(np.float32) / width
    across = columns * np.float32(np.cos(angle)) + rows * np.float32(np.sin(angle))
    middle, half = rng.uniform(across.min(), across.max()), rng.uniform(0.05, 0.3)
    speed, shade = rng.normal(0.0, 0.02), rng.uniform(*SHADE)
    while True:
        inside = np.clip((half - np.abs(across - np.float32(middle))) / PENUMBRA, 0.0, 1.0)
        light = cv2.convertScaleAbs(inside, alpha=-255 * (1.0 - shade), beta=255.0)
        yield cv2.merge([light] * 3)
        middle += speed

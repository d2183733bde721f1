"""Clips made from one labelled image: a smooth random camera path over it, with light that changes per frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.data.clip import Clip
from vidseg_ros.data.readers import DEFAULT_FPS
from vidseg_ros.labels import IGNORE

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class StillMotion:
    """How far the camera path goes. Speeds are standard deviations per frame."""

    zoom_range: tuple[float, float] = (0.9, 1.7)  # of the first frame
    zoom_speed: float = 0.012
    shift_speed: float = 0.008  # of the image width
    roll_speed: float = 0.003  # radians
    exposure: float = 0.25  # spread of the clip's gain
    flicker: float = 0.06  # spread of each frame's gain
    noise: float = 6.0  # largest standard deviation, grey levels


def still_to_clip(
    still: Clip, length: int, size: tuple[int, int], rng: np.random.Generator, motion: StillMotion | None = None
) -> Clip:
    """Move over the single frame of ``still`` for ``length`` frames of (width, height) ``size``.

    Labels are warped like the image, nearest neighbour; what the image does not show is IGNORE.
    """
    motion = motion or StillMotion()
    rgb, labels = still.frames[0], still.labels[0]
    path = _camera_path(rgb.shape[1], rgb.shape[0], size, length, rng, motion)
    frames = [_warp(rgb, m, size, cv2.INTER_LINEAR, cv2.BORDER_REFLECT_101) for m in path]
    warped = [_warp(labels, m, size, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT) for m in path]
    lit = change_light(np.stack(frames), rng, motion)
    return Clip(lit, np.stack(warped), np.arange(length) / DEFAULT_FPS, still.sequence)


def _camera_path(
    width: int, height: int, size: tuple[int, int], length: int, rng: np.random.Generator, motion: StillMotion
) -> list[Matrix]:
    """Affine maps from image to frame coordinates: constant random speeds with small jitter."""
    flip = rng.random() < 0.5
    zoom = rng.uniform(*motion.zoom_range) * size[0] / width
    slack = np.maximum(np.array([width, height]) - np.array(size) / zoom, 0.0)
    centre = np.array([width, height]) / 2 + (rng.random(2) - 0.5) * slack
    roll = rng.normal(0.0, 0.03)
    speed = rng.normal(0.0, 1.0, 4) * [motion.zoom_speed, motion.shift_speed, motion.shift_speed / 2, motion.roll_speed]
    path = []
    for _ in range(length):
        path.append(_affine(zoom, roll, flip, centre, size))
        step = speed * rng.normal(1.0, 0.3, 4)
        zoom *= 1.0 + step[0]
        centre = centre + step[1:3] * width
        roll += step[3]
    return path


def _affine(zoom: float, roll: float, flip: bool, centre: NDArray[np.float64], size: tuple[int, int]) -> Matrix:
    cos, sin = zoom * np.cos(roll), zoom * np.sin(roll)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if flip else 1.0, 1.0])
    return np.column_stack([linear, np.array(size) / 2 - linear @ centre])


def _warp(image: NDArray[np.uint8], matrix: Matrix, size: tuple[int, int], how: int, border: int) -> NDArray[np.uint8]:
    warped = cv2.warpAffine(image, matrix, size, flags=how, borderMode=border, borderValue=IGNORE)
    return np.asarray(warped, np.uint8)


def change_light(frames: NDArray[np.uint8], rng: np.random.Generator, motion: StillMotion) -> NDArray[np.uint8]:
    """Give RGB uint8 (T, H, W, 3) one exposure, gamma and tint a clip, and flicker, noise and blur a frame."""
    gamma, gain = np.exp(rng.normal(0.0, 0.2)), np.exp(rng.normal(0.0, motion.exposure))
    tint = np.exp(rng.normal(0.0, 0.06, 3))
    sigma, blur = rng.uniform(0.0, motion.noise), rng.random() < 0.15
    levels = np.linspace(0.0, 1.0, 256) ** gamma
    out = np.empty_like(frames)
    for frame, lit in zip(frames, out, strict=True):
        flicker = np.exp(rng.normal(0.0, motion.flicker))
        table = np.clip(255.0 * gain * flicker * tint * levels[:, None], 0, 255).astype(np.uint8)
        bright = np.asarray(cv2.LUT(cv2.GaussianBlur(frame, (3, 3), 0) if blur else frame, table[None]))
        noise = rng.standard_normal(frame.shape, np.float32) * np.float32(sigma)
        lit[:] = np.clip(bright + noise, 0, 255)
    return out

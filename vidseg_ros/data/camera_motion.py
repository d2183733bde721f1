"""A smooth random camera path over pictures: pan, zoom, roll and a little perspective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.data.config import AugmentationConfig
from vidseg_ros.labels import IGNORE

Matrix = NDArray[np.float64]
ROLL = 0.03  # deviation of the first frame's roll, radians
TILT_SPEED = 0.1  # deviation per frame, as a share of the tilt
NEAREST = 0.02  # depth of the next frame's points, against that of this frame's


@dataclass(frozen=True)
class View:
    """What one frame shows of a picture: its centre in pixels, scale, roll in radians and perspective (x, y)."""

    centre: NDArray[np.float64]
    zoom: float
    roll: float
    tilt: NDArray[np.float64]


def camera_path(
    shape: tuple[int, int],
    size: tuple[int, int],
    length: int,
    rng: np.random.Generator,
    augmentation: AugmentationConfig,
) -> list[Matrix]:
    """Draw homographies (3, 3) from pictures of (height, width) ``shape`` to ``length`` frames of (width, height).

    Speeds are constant but for a jitter. The first frame stays inside the picture where it fits.
    """
    picture = np.array(shape[::-1], float)
    zoom = rng.uniform(*augmentation.zoom_range) * size[0] / picture[0]
    slack = np.maximum(picture - np.array(size) / zoom, 0.0)
    centre = picture / 2 + (rng.random(2) - 0.5) * slack
    view = View(centre, zoom, rng.normal(0.0, ROLL), rng.normal(0.0, augmentation.tilt, 2))
    flip = rng.random() < 0.5
    pan = rng.normal(0.0, augmentation.shift_speed, 2) * [1.0, 0.5] * picture[0]
    zoom_speed = rng.normal(augmentation.zoom_speed, augmentation.zoom_speed)
    roll_speed = rng.normal(0.0, augmentation.roll_speed)
    tilt_speed = rng.normal(0.0, augmentation.tilt * TILT_SPEED, 2)
    path = []
    for _ in range(length):
        path.append(homography(view, size, flip))
        pace = rng.normal(1.0, augmentation.jitter, 4)
        view = replace(
            view,
            centre=view.centre + pan * pace[0],
            zoom=view.zoom * (1.0 + zoom_speed * pace[1]),
            roll=view.roll + roll_speed * pace[2],
            tilt=view.tilt + tilt_speed * pace[3],
        )
    return path


def still_camera(augmentation: AugmentationConfig) -> AugmentationConfig:
    """Return ``augmentation`` with no speed: one view for a whole clip, as for frames that move by themselves."""
    return replace(augmentation, zoom_speed=0.0, shift_speed=0.0, roll_speed=0.0, jitter=0.0)


def homography(view: View, size: tuple[int, int], flip: bool) -> Matrix:
    """Return the map (3, 3) from picture to frame pixels."""
    cos, sin = view.zoom * np.cos(view.roll), view.zoom * np.sin(view.roll)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if flip else 1.0, 1.0])
    around_centre = np.eye(3)
    around_centre[:2, :2] = linear
    around_centre[:2, 2] = -linear @ view.centre
    perspective = np.eye(3)
    perspective[2, :2] = view.tilt / (np.array(size) / 2)
    to_frame = np.eye(3)
    to_frame[:2, 2] = np.array(size) / 2
    return np.asarray(to_frame @ perspective @ around_centre)


def path_flow(path: Sequence[Matrix], size: tuple[int, int]) -> NDArray[np.float32]:
    """Flow along a path of T homographies through frames of (width, height) ``size``, float32 (T - 1, 2, H, W).

    Pixel p of frame t goes to H_t+1 H_t^-1 p in the next frame, also where that is outside; a point that will be behind
    the camera gets a large finite motion.
    """
    width, height = size
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    flow = np.empty((len(path) - 1, 2, height, width), np.float32)
    for t, (now, later) in enumerate(pairwise(path)):
        across, down, depth = (later @ np.linalg.inv(now)) @ [columns.ravel(), rows.ravel(), np.ones(width * height)]
        depth = np.maximum(depth, NEAREST)
        flow[t] = (across / depth).reshape(height, width) - columns, (down / depth).reshape(height, width) - rows
    return flow


def warp_image(image: NDArray[np.uint8], matrix: Matrix, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Show ``image`` through ``matrix`` at (width, height) ``size``; what lies outside is its reflection."""
    return _warp(image, matrix, size, cv2.INTER_LINEAR, cv2.BORDER_REFLECT_101)


def warp_labels(labels: NDArray[np.uint8], matrix: Matrix, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Show ``labels`` through ``matrix`` at (width, height) ``size``; what lies outside is IGNORE."""
    return _warp(labels, matrix, size, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)


def _warp(image: NDArray[np.uint8], matrix: Matrix, size: tuple[int, int], how: int, border: int) -> NDArray[np.uint8]:
    warped = cv2.warpPerspective(image, matrix, size, flags=how, borderMode=border, borderValue=IGNORE)
    return np.asarray(warped, np.uint8)

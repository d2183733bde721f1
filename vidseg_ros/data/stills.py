"""Clips made from single labelled images, and views of clips that move by themselves."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from vidseg_ros.data.camera_motion import camera_path, path_flow, still_camera, warp_image, warp_labels
from vidseg_ros.data.clip import Clip
from vidseg_ros.data.config import AugmentationConfig
from vidseg_ros.data.disturbances import disturb
from vidseg_ros.data.occluders import Occluder, pass_through
from vidseg_ros.data.photometric import change_light
from vidseg_ros.flow.estimator import FlowEstimator
from vidseg_ros.io.frame import DEFAULT_FPS, nanoseconds


def still_to_clip(
    still: Clip,
    length: int,
    size: tuple[int, int],
    rng: np.random.Generator,
    augmentation: AugmentationConfig | None = None,
    occluder: Occluder | None = None,
    flow: bool = False,
) -> Clip:
    """Move over the single frame of ``still`` for ``length`` frames of (width, height) ``size``.

    Labels are warped like the image, nearest neighbour; what the image does not show is IGNORE. ``flow`` asks for the
    exact flow, too, which changes nothing else.
    """
    augmentation = augmentation or AugmentationConfig()
    rgb, labels = still.frames[0], still.labels[0]
    path = camera_path(labels.shape, size, length, rng, augmentation)
    frames = np.stack([warp_image(rgb, m, size) for m in path])
    clip = Clip(
        frames,
        np.stack([warp_labels(labels, m, size) for m in path]),
        np.arange(length) * nanoseconds(1 / DEFAULT_FPS),
        still.sequence,
        path_flow(path, size) if flow else None,
        path_flow(path[::-1], size)[::-1].copy() if flow else None,
    )
    return _finish(clip, rng, augmentation, occluder)


def view_of_clip(
    clip: Clip,
    size: tuple[int, int],
    rng: np.random.Generator,
    augmentation: AugmentationConfig,
    estimate: FlowEstimator | None = None,
) -> Clip:
    """Show ``clip`` at (width, height) ``size`` through one random view: geometry is drawn once for all frames.

    ``estimate`` gives the flow of what is shown, before the light changes.
    """
    (matrix,) = camera_path(clip.labels.shape[1:], size, 1, rng, still_camera(augmentation))
    frames = np.stack([warp_image(frame, matrix, size) for frame in clip.frames])
    labels = np.stack([warp_labels(frame, matrix, size) for frame in clip.labels])
    flow = np.stack([estimate(*pair) for pair in pairwise(frames)]) if estimate and len(frames) > 1 else None
    return _finish(Clip(frames, labels, clip.stamps, clip.sequence, flow), rng, augmentation, None)


def _finish(clip: Clip, rng: np.random.Generator, augmentation: AugmentationConfig, occluder: Occluder | None) -> Clip:
    """Let the occluder pass, change the light and disturb the camera."""
    if occluder is not None:
        pass_through(clip, occluder, rng)
    frames = change_light(clip.frames, rng, augmentation)
    return replace(clip, frames=disturb(frames, rng, augmentation.disturbed) if augmentation.disturbed else frames)

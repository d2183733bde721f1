"""Clips made from single labelled images, and views of clips that move by themselves."""

from __future__ import annotations

import numpy as np

from vidseg_ros.config import MotionConfig
from vidseg_ros.data.clip import Clip
from vidseg_ros.data.light import change_light
from vidseg_ros.data.motion import camera_path, still_camera, warp_image, warp_labels
from vidseg_ros.data.occluders import Occluder, pass_through
from vidseg_ros.data.readers import DEFAULT_FPS


def still_to_clip(
    still: Clip,
    length: int,
    size: tuple[int, int],
    rng: np.random.Generator,
    motion: MotionConfig | None = None,
    occluder: Occluder | None = None,
) -> Clip:
    """Move over the single frame of ``still`` for ``length`` frames of (width, height) ``size``.

    Labels are warped like the image, nearest neighbour; what the image does not show is IGNORE.
    """
    motion = motion or MotionConfig()
    rgb, labels = still.frames[0], still.labels[0]
    path = camera_path(labels.shape, size, length, rng, motion)
    frames = np.stack([warp_image(rgb, m, size) for m in path])
    clip = Clip(
        frames, np.stack([warp_labels(labels, m, size) for m in path]), np.arange(length) / DEFAULT_FPS, still.sequence
    )
    return _finish(clip, rng, motion, occluder)


def view_of_clip(clip: Clip, size: tuple[int, int], rng: np.random.Generator, motion: MotionConfig) -> Clip:
    """Show ``clip`` at (width, height) ``size`` through one random view: geometry is drawn once for all frames."""
    (matrix,) = camera_path(clip.labels.shape[1:], size, 1, rng, still_camera(motion))
    frames = np.stack([warp_image(frame, matrix, size) for frame in clip.frames])
    labels = np.stack([warp_labels(frame, matrix, size) for frame in clip.labels])
    return _finish(Clip(frames, labels, clip.stamps, clip.sequence), rng, motion, None)


def _finish(clip: Clip, rng: np.random.Generator, motion: MotionConfig, occluder: Occluder | None) -> Clip:
    """Let the occluder pass and change the light."""
    if occluder is not None:
        pass_through(clip, occluder, rng)
    return Clip(change_light(clip.frames, rng, motion), clip.labels, clip.stamps, clip.sequence)

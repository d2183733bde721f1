"""Clips from the built-in street world."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.data.clip import Clip
from vidseg_ros.io.frame import nanoseconds
from vidseg_ros.simulation.street_world import StreetWorld, StreetWorldConfig, WorldFrame

SEEDS = 2**31
FIRST_FRAMES = 3000  # a clip starts somewhere in the first minutes of a street


def street_clip(length: int, size: tuple[int, int], rng: np.random.Generator, flow: bool = False) -> Clip:
    """Drive ``length`` frames of (width, height) ``size`` through a street drawn from ``rng``.

    ``flow`` asks for the exact flow, too, which changes nothing else.
    """
    seed, start = int(rng.integers(SEEDS)), int(rng.integers(FIRST_FRAMES))
    world = StreetWorld(StreetWorldConfig(width=size[0], height=size[1], seed=seed))
    frames = [world.frame(index) for index in range(start, start + length)]
    return Clip(
        np.stack([f.rgb for f in frames]),
        np.stack([f.labels for f in frames]),
        np.array([nanoseconds(f.stamp) for f in frames]),
        f"street{seed}",
        _flow_of(frames) if flow else None,
    )


def _flow_of(frames: Sequence[WorldFrame]) -> NDArray[np.float32]:
    """The flow of consecutive frames, each to the next, (T - 1, 2, H, W)."""
    flow = np.empty((len(frames) - 1, 2, *frames[0].labels.shape), np.float32)
    for frame, plane in zip(frames, flow, strict=False):
        plane[:] = frame.flow.transpose(2, 0, 1)
    return flow

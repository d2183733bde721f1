"""Clips from the built-in street world."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.data.clip import Clip
from vidseg_ros.io.frame import nanoseconds
from vidseg_ros.simulation.street_world import StreetWorld, StreetWorldConfig

SEEDS = 2**31
FIRST_FRAMES = 3000  # a clip starts somewhere in the first minutes of a street


def street_clip(length: int, size: tuple[int, int], rng: np.random.Generator, flow: bool = False) -> Clip:
    """Drive ``length`` frames of (width, height) ``size`` through a street drawn from ``rng``.

    ``flow`` asks for the exact flow, too, which changes nothing else.
    """
    seed, start = int(rng.integers(SEEDS)), int(rng.integers(FIRST_FRAMES))
    world = StreetWorld(StreetWorldConfig(width=size[0], height=size[1], seed=seed))
    frames, dt = [world.frame(index) for index in range(start, start + length)], 1 / world.config.fps
    return Clip(
        np.stack([f.rgb for f in frames]),
        np.stack([f.labels for f in frames]),
        np.array([nanoseconds(f.stamp) for f in frames]),
        f"street{seed}",
        _stacked([f.flow for f in frames[:-1]], size) if flow else None,
        _stacked([f.flow_to(world.drive(f.stamp - dt), f.stamp - dt) for f in frames[1:]], size) if flow else None,
    )


def _stacked(flows: Sequence[NDArray[np.float32]], size: tuple[int, int]) -> NDArray[np.float32]:
    """Flows (H, W, 2) of (width, height) ``size`` as (T, 2, H, W)."""
    return np.stack(flows).transpose(0, 3, 1, 2).copy() if flows else np.empty((0, 2, *size[::-1]), np.float32)

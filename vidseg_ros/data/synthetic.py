"""Clips from the built-in street world."""

from __future__ import annotations

import numpy as np

from vidseg_ros.data.clip import Clip
from vidseg_ros.io.frame import nanoseconds
from vidseg_ros.simulation.street_world import StreetWorld, StreetWorldConfig

SEEDS = 2**31
FIRST_FRAMES = 3000  # a clip starts somewhere in the first minutes of a street


def street_clip(length: int, size: tuple[int, int], rng: np.random.Generator) -> Clip:
    """Drive ``length`` frames of (width, height) ``size`` through a street drawn from ``rng``."""
    seed, start = int(rng.integers(SEEDS)), int(rng.integers(FIRST_FRAMES))
    world = StreetWorld(StreetWorldConfig(width=size[0], height=size[1], seed=seed))
    frames = [world.frame(index) for index in range(start, start + length)]
    return Clip(
        np.stack([f.rgb for f in frames]),
        np.stack([f.labels for f in frames]),
        np.array([nanoseconds(f.stamp) for f in frames]),
        f"street{seed}",
    )

"""What all things in the street share: class ids, colours 0..1 and outlines in metres."""

from __future__ import annotations

from typing import Any

import numpy as np

from vidseg_ros.labels import CAMVID
from vidseg_ros.simulation.polygons import Builder, Color, Floats, Paint, paint
from vidseg_ros.simulation.textures import Texture

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(len(CAMVID))

Rng = np.random.Generator
Base = tuple[tuple[float, float], tuple[float, float]]  # two places (x, y)
GLASS = Paint(Texture.GLOSS, 30, 30, (0.02, 0.03, 0.04), (0.12, 0.15, 0.17), (0.5, 0.56, 0.6))
RUBBER = paint(Texture.PLAIN, (0.07, 0.07, 0.075))
STEEL = paint(Texture.GLOSS, (0.36, 0.37, 0.38))

CLOTHES: tuple[Color, ...] = (
    (0.12, 0.13, 0.18), (0.10, 0.10, 0.10), (0.45, 0.12, 0.12), (0.20, 0.28, 0.45), (0.62, 0.60, 0.55),
    (0.30, 0.26, 0.20), (0.18, 0.32, 0.22), (0.70, 0.66, 0.30), (0.5, 0.35, 0.45),
)  # fmt: skip
CAR_COLORS: tuple[Color, ...] = (
    (0.80, 0.80, 0.79), (0.55, 0.57, 0.59), (0.10, 0.10, 0.11), (0.28, 0.29, 0.31), (0.45, 0.07, 0.07),
    (0.10, 0.17, 0.36), (0.36, 0.42, 0.50), (0.09, 0.22, 0.17), (0.52, 0.46, 0.36),
)  # fmt: skip


def tint(rng: Rng, base: Color, spread: float = 0.06) -> Floats:
    """Colour near ``base``: brighter or darker, and a little off in hue."""
    color = np.asarray(base) * rng.uniform(1 - 2 * spread, 1 + 2 * spread) * (1 + rng.normal(0, spread / 2, 3))
    return np.clip(color, 0.02, 1.0)


def pick(rng: Rng, colors: tuple[Color, ...], spread: float = 0.06) -> Floats:
    """Colour near one of ``colors``."""
    return tint(rng, colors[int(rng.integers(len(colors)))], spread)


def disc(y: float, z: float, width: float, height: float, turn: float = 0.3927) -> list[tuple[float, float]]:
    """Eight-cornered outline of ``width`` x ``height`` about (y, z)."""
    angles = turn + np.arange(8) * np.pi / 4
    across, up = y + width / 2 * np.cos(angles), z + height / 2 * np.sin(angles)
    return list(zip(across.tolist(), up.tolist(), strict=True))


def slab(y0: float, z0: float, y1: float, z1: float) -> list[tuple[float, float]]:
    """Rectangular outline."""
    return [(y0, z0), (y1, z0), (y1, z1), (y0, z1)]


def wall(builder: Builder, base: Base, rise: tuple[float, float], look: Paint, label: int, **more: Any) -> None:
    """Add an upright rectangle over ``base``, which runs left to right as seen from outside, ``rise`` (low, high)."""
    (p, q), (low, high) = base, rise
    builder.add([(*p, low), (*q, low), (*q, high), (*p, high)], look, label, **more)


def along_street(x0: float, x1: float, y: float) -> Base:
    """The base of a wall that looks to the middle of the street."""
    return ((x0, y), (x1, y)) if y > 0 else ((x1, y), (x0, y))


def block(builder: Builder, corners: Base, height: float, look: Paint, label: int) -> None:
    """Add the faces of a box that a camera in the street may see; ``corners`` are its front and its back (x, y)."""
    (x0, front), (x1, back) = corners
    y0, y1 = sorted((front, back))
    wall(builder, ((x0, y1), (x0, y0)), (0, height), look, label)
    wall(builder, ((x1, y0), (x1, y1)), (0, height), look, label)
    wall(builder, along_street(x0, x1, front), (0, height), look, label)
    builder.floor((x0, y0, x1, y1), height, look, label)

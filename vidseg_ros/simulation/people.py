"""People on foot and on bicycles, cut out across the street, with legs and arms that swing."""

from __future__ import annotations

import numpy as np

from vidseg_ros.simulation.polygons import Builder, Color, Layer, Paint, paint
from vidseg_ros.simulation.shapes import BICYCLIST, CLOTHES, PEDESTRIAN, RUBBER, STEEL, Rng, disc, pick, slab, tint
from vidseg_ros.simulation.textures import Texture

SKINS: tuple[Color, ...] = ((0.78, 0.58, 0.47), (0.6, 0.42, 0.32), (0.36, 0.24, 0.18))


def person(builder: Builder, rng: Rng, y: float, stride: float, mover: int) -> None:
    """Add somebody on foot at x = 0; ``stride`` is how far (rad) legs and arms swing across the street."""
    tall, stout = rng.uniform(0.92, 1.07), rng.uniform(0.9, 1.15)
    coat, trousers = paint(Texture.GRASS, pick(rng, CLOTHES)), paint(Texture.GRASS, pick(rng, CLOTHES) * 0.8)
    skin, hair = paint(Texture.PLAIN, pick(rng, SKINS)), paint(Texture.PLAIN, tint(rng, (0.15, 0.11, 0.08), 0.2))
    builder.begin(Layer.STREET, (0, y - 0.2, 0, y + 0.2), mover)

    def part(outline: list[tuple[float, float]], look: Paint, turn: float = 0.0) -> None:
        scaled = [(y + a * stout, z * tall) for a, z in outline]
        builder.upright(0, scaled, look, PEDESTRIAN, swing=(turn, 5.5, phase))

    phase = rng.uniform(0, 6.28)
    for side in (-1, 1):
        hip = side * 0.09 * (1 if stride < 0.2 else 0.3)
        part([(hip + 0.08, 0.9), (hip - 0.08, 0.9), (hip - 0.06, 0.02), (hip + 0.06, 0.02)], trousers, side * stride)
        arm = side * 0.23 * (1 if stride < 0.2 else 0.2)
        part([(arm + 0.05, 1.42), (arm - 0.05, 1.42), (arm - 0.05, 0.8), (arm + 0.05, 0.8)], coat, -side * stride)
    hem = rng.uniform(0.7, 0.92)
    part([(-0.17, hem), (0.17, hem), (0.19, 1.1), (0.22, 1.4), (0.1, 1.5), (-0.1, 1.5), (-0.22, 1.4)], coat)
    part(disc(0, 1.62, 0.19, 0.27), skin)
    if rng.random() < 0.8:
        part([(-0.1, 1.64), (0.1, 1.64), (0.08, 1.75), (-0.08, 1.75)], hair)
    builder.shade([(a, y + b) for a in (-0.2, 0.2) for b in (-0.3, 0.3)], 2)


def cyclist(builder: Builder, rng: Rng, y: float, mover: int) -> None:
    """Add somebody on a bicycle at x = 0, seen from behind or from ahead."""
    coat, trousers = paint(Texture.GRASS, pick(rng, CLOTHES, 0.15)), paint(Texture.GRASS, pick(rng, CLOTHES) * 0.7)
    skin, helmet = paint(Texture.PLAIN, pick(rng, SKINS)), paint(Texture.PLAIN, pick(rng, CLOTHES, 0.2))
    builder.begin(Layer.STREET, (-0.8, y - 0.25, 0.8, y + 0.25), mover)
    for ahead in (0.5, -0.5):
        builder.upright(ahead, slab(y - 0.035, 0, y + 0.035, 0.68), RUBBER, BICYCLIST)
    builder.upright(0, slab(y - 0.3, 1.0, y + 0.3, 1.05), STEEL, BICYCLIST)
    for side, phase in ((-1, 0.0), (1, np.pi)):
        hip = y + side * 0.11
        leg = [(hip + 0.08, 0.98), (hip - 0.08, 0.98), (hip - 0.06, 0.22), (hip + 0.06, 0.22)]
        builder.upright(0, leg, trousers, BICYCLIST, swing=(0.12, 6.0, phase))
        arm = [(y + side * 0.2, 1.4), (y + side * 0.26, 1.34), (y + side * 0.31, 1.02), (y + side * 0.24, 1.02)]
        builder.upright(0, arm, coat, BICYCLIST)
    back = [(-0.14, 0.88), (0.14, 0.88), (0.2, 1.3), (0.17, 1.46), (-0.17, 1.46), (-0.2, 1.3)]
    builder.upright(0, [(y + a, z) for a, z in back], coat, BICYCLIST)
    builder.upright(0, disc(y, 1.6, 0.19, 0.28), skin, BICYCLIST)
    builder.upright(0, disc(y, 1.68, 0.23, 0.18), helmet, BICYCLIST)
    builder.shade([(a, y + b) for a in (-0.8, 0.8) for b in (-0.22, 0.22)], 2)

"""Trees, hedges and fences, lamps, signs and traffic lights."""

from __future__ import annotations

import numpy as np

from vidseg_ros.simulation.polygons import Builder, Color, Floats, Layer, paint
from vidseg_ros.simulation.shapes import FENCE, POLE, SIGN, STEEL, TREE, Rng, block, disc, pick, slab, tint
from vidseg_ros.simulation.textures import Texture


def tree(builder: Builder, rng: Rng, place: tuple[float, float], leaf: Color, *, layer: Layer, shadow: Floats) -> None:
    """Add a tree at ``place`` (x, y); ``shadow`` is where (x, y) the shade of a point one metre up falls."""
    (x, y), height, spread = place, rng.uniform(5, 10), rng.uniform(2.6, 5.0)
    bole, thick = height * rng.uniform(0.28, 0.4), rng.uniform(0.1, 0.22)
    builder.begin(layer, (x, y - 0.3, x, y + 0.3))
    bark = paint(Texture.BRICK, tint(rng, (0.24, 0.20, 0.16), 0.1), 60)
    trunk = [(y - thick, 0), (y + thick, 0), (y + thick * 0.6, bole + 1), (y - thick * 0.6, bole + 1)]
    builder.upright(x, trunk, bark, TREE)
    middle = (height + bole) / 2
    _crown(builder, rng, (x, y, middle), (spread, height - bole), tint(rng, leaf, 0.1))
    top = np.asarray(place) + shadow * middle
    builder.shade([(top[0] + a * spread / 2, top[1] + b * spread / 2) for a, b in disc(0, 0, 2, 2)], 1)
    builder.shade([(x, y - thick), (x, y + thick), (top[0], top[1] - thick), (top[0], top[1] + thick)], 1)


def _crown(
    builder: Builder, rng: Rng, center: tuple[float, float, float], size: tuple[float, float], color: Floats
) -> None:
    """Add tufts of leaves: one large, a ring about it that makes the outline, and some inside that make depth."""
    (x, y, middle), (spread, tall), turn = center, size, rng.uniform(0, 6.28)
    for count, share, breadth in ((1, 0.0, 0.75), (8, 0.8, 0.42), (5, 0.45, 0.4)):
        for angle in (turn + 6.283 * np.arange(count) / count).tolist():
            a = y + share * spread / 2 * np.cos(angle) + rng.normal(0, 0.15)
            z = middle + share * tall / 2 * np.sin(angle) + rng.normal(0, 0.15)
            wide = breadth * rng.uniform(0.8, 1.2) * (spread + tall) / 2
            lit = np.clip(color * (0.8 + 0.56 * (z - middle) / tall), 0, 1)  # lighter above than below
            outline = disc(a, z, wide, wide * 0.85, rng.uniform(0, 1))
            look = paint(Texture.LEAVES, lit, 45, 0.8)
            builder.upright(x + rng.normal(0, 0.3), outline, look, TREE, fine=share == 0.45)


def hedge(builder: Builder, rng: Rng, span: tuple[float, float], y: float, leaf: Color) -> None:
    """Add a low hedge along the street."""
    look = paint(Texture.LEAVES, tint(rng, leaf, 0.1) * 0.9, 45, 0.7)
    height = rng.uniform(0.9, 1.8)
    builder.begin(Layer.BORDER, (span[0], y, span[1], y))
    block(builder, ((span[0], y), (span[1], y + float(np.sign(y)) * 0.7)), height, look, TREE)


def fence(builder: Builder, rng: Rng, span: tuple[float, float], y: float) -> None:
    """Add a fence or a low wall along the street."""
    height = rng.uniform(0.9, 1.7)
    wood = paint(Texture.PICKETS, pick(rng, ((0.42, 0.33, 0.24), (0.72, 0.71, 0.68), (0.22, 0.26, 0.22))), 70, 0.7)
    stone = paint(Texture.BRICK, pick(rng, ((0.46, 0.28, 0.22), (0.56, 0.54, 0.48))), 110)
    builder.begin(Layer.BORDER, (span[0], y, span[1], y))
    look = wood if rng.random() < 0.6 else stone
    block(builder, ((span[0], y), (span[1], y + float(np.sign(y)) * 0.12)), height, look, FENCE)


def lamp(builder: Builder, x: float, y: float, height: float, shadow: Floats) -> None:
    """Add a street lamp whose arm reaches over the road."""
    builder.begin(Layer.STREET, (x, y, x, y))
    reach = y - np.sign(y) * 1.8
    builder.upright(x, [(y - 0.1, 0), (y + 0.1, 0), (y + 0.065, height), (y - 0.065, height)], STEEL, POLE)
    builder.upright(x, slab(y - 0.14, 0, y + 0.14, 1.1), STEEL, POLE)
    builder.upright(x, [(y, height - 0.1), (y, height), (reach, height + 0.3), (reach, height + 0.2)], STEEL, POLE)
    builder.upright(x, slab(reach - 0.28, height + 0.12, reach + 0.28, height + 0.3), STEEL, POLE)
    top = np.asarray([x, y]) + shadow * height
    builder.shade([(x, y - 0.08), (x, y + 0.08), (top[0], top[1] - 0.08), (top[0], top[1] + 0.08)], 1)


RED, WHITE = paint(Texture.PLAIN, (0.62, 0.06, 0.07), 40, 0.2), paint(Texture.PLAIN, (0.86, 0.86, 0.85), 40, 0.2)
BLUE, DARK = paint(Texture.PLAIN, (0.07, 0.22, 0.55), 40, 0.2), paint(Texture.PLAIN, (0.09, 0.09, 0.09))
PLATES = (  # prohibition, warning, command, direction: outlines in shares of the size, largest first
    ((disc(0, 0, 1, 1), RED), (disc(0, 0, 0.72, 0.72), WHITE), (slab(-0.2, -0.16, 0.2, 0.16), DARK)),
    (([(-0.6, -0.5), (0.6, -0.5), (0, 0.5)], RED), ([(-0.36, -0.36), (0.36, -0.36), (0, 0.24)], WHITE)),
    ((disc(0, 0, 1, 1), BLUE), (slab(-0.08, -0.3, 0.08, 0.3), WHITE)),
    ((slab(-1, -0.5, 1, 0.5), WHITE), (slab(-0.94, -0.44, 0.94, 0.44), BLUE), (slab(-0.7, -0.08, 0.7, 0.08), WHITE)),
)


def sign(builder: Builder, rng: Rng, x: float, y: float) -> None:
    """Add a road sign on its post."""
    size, z = rng.uniform(0.6, 0.85), rng.uniform(2.2, 2.7)
    builder.begin(Layer.STREET, (x, y, x, y))
    builder.upright(x, slab(y - 0.045, 0, y + 0.045, z + size / 2), STEEL, POLE)
    for number, (outline, look) in enumerate(PLATES[int(rng.integers(len(PLATES)))]):
        builder.upright(x, [(y + a * size, z + b * size) for a, b in outline], look, SIGN, fine=number > 0)


def traffic_light(builder: Builder, rng: Rng, x: float, y: float) -> None:
    """Add a signal head on its post; CamVid counts the head among the signs."""
    builder.begin(Layer.STREET, (x, y, x, y))
    builder.upright(x, slab(y - 0.06, 0, y + 0.06, 2.4), STEEL, POLE)
    builder.upright(x, slab(y - 0.2, 2.2, y + 0.2, 3.2), DARK, SIGN)
    lit = int(rng.integers(2)) * 2
    for i, color in enumerate(((0.1, 0.7, 0.3), (0.5, 0.35, 0.02), (0.8, 0.08, 0.05))):
        look = paint(Texture.PLAIN, np.asarray(color) * (1.0 if i == lit else 0.3))
        builder.upright(x, disc(y, 2.4 + 0.3 * i, 0.22, 0.22), look, SIGN, fine=True)

"""Houses with windows, shops, doors and roofs."""

from __future__ import annotations

import numpy as np

from vidseg_ros.simulation.polygons import Builder, Color, Floats, Layer, Paint, paint
from vidseg_ros.simulation.shapes import BUILDING, CAR_COLORS, CLOTHES, Base, Rng, along_street, block, pick, tint, wall
from vidseg_ros.simulation.textures import CELL, SIZE, Texture

WALLS: tuple[Color, ...] = (
    (0.50, 0.32, 0.25), (0.60, 0.46, 0.34), (0.70, 0.66, 0.57), (0.62, 0.60, 0.58), (0.78, 0.74, 0.68),
    (0.42, 0.40, 0.38), (0.66, 0.55, 0.42), (0.56, 0.42, 0.38), (0.55, 0.60, 0.62),
)  # fmt: skip
FACADES = (Texture.SASH, Texture.PANES, Texture.SMALL, Texture.OFFICE)


def building(
    builder: Builder,
    rng: Rng,
    span: tuple[float, float],
    front: float,
    *,
    storeys: int,
    shop: bool = False,
    shadow: Floats | None = None,
) -> None:
    """Add a house of ``storeys`` floors whose facade stands at y = ``front``.

    ``shadow`` is where (x, y) the shade of a point one metre up falls.
    """
    (x0, x1), storey, depth = span, rng.uniform(2.8, 3.5), rng.uniform(9, 14)
    back, top = front + float(np.sign(front)) * depth, storeys * storey + 0.5
    color = pick(rng, WALLS, 0.08)
    plain = paint(Texture.BRICK if rng.random() < 0.5 else Texture.PLAIN, color, 55, 0.3)
    builder.begin(Layer.BACK, (x0, min(front, back), x1, max(front, back)))
    block(builder, ((x0, front), (x1, back)), top, plain, BUILDING)
    base = along_street(x0, x1, front)
    wall(builder, base, (0, top - 0.5), _windows(rng, color, x1 - x0, storey), BUILDING)
    wall(builder, base, (top - 0.5, top), paint(Texture.GLOSS, tint(rng, (0.7, 0.68, 0.64))), BUILDING, fine=True)
    if shop:
        _shop_front(builder, rng, base, storey)
    else:
        _door(builder, rng, span, front)
    if storeys <= 4 and rng.random() < 0.7:
        _gable(builder, rng, ((x0, front), (x1, back)), top, plain)
    if shadow is not None:
        far = shadow * (top + 1.5)
        builder.shade([(x + s * far[0], front + s * far[1]) for x in (x0, x1) for s in (0.0, 1.0)], 1)


def _windows(rng: Rng, color: Floats, width: float, storey: float) -> Paint:
    texture = FACADES[int(rng.integers(len(FACADES)))]
    columns = max(round(width / rng.uniform(2.0, 3.4)), 1)
    dark = tint(rng, (0.08, 0.10, 0.12), 0.2)
    light = np.clip(color * 0.4 + 0.5, 0, 0.95)
    red, green, blue = color.tolist()
    return Paint(
        *(texture, CELL * columns / width, CELL / storey),
        *(tuple(dark.tolist()), (red, green, blue), tuple(light.tolist())),
    )


def _shop_front(builder: Builder, rng: Rng, base: Base, storey: float) -> None:
    color = pick(rng, (*CLOTHES, *CAR_COLORS), 0.1)
    look = paint(Texture.SHOP, np.clip(color * 0.6 + 0.2, 0, 1), 1, 0.85)
    wall(builder, base, (0, storey), look._replace(along=SIZE / 6.5, up=SIZE / storey), BUILDING)


def _door(builder: Builder, rng: Rng, span: tuple[float, float], front: float) -> None:
    x = rng.uniform(span[0] + 0.5, span[1] - 1.8)
    look = paint(Texture.PLAIN, pick(rng, CAR_COLORS) * 0.8)
    wall(builder, along_street(x, x + 1.1, front), (0, 2.3), look, BUILDING, fine=True)


def _gable(builder: Builder, rng: Rng, corners: Base, top: float, plain: Paint) -> None:
    (x0, front), (x1, back) = corners
    ridge, middle, (y0, y1) = top + rng.uniform(2.0, 3.5), (front + back) / 2, sorted((front, back))
    tiles = paint(Texture.ROOF, pick(rng, ((0.36, 0.22, 0.17), (0.26, 0.26, 0.28), (0.32, 0.28, 0.25))), 50)
    builder.add([(x0, y1, top), (x0, y0, top), (x0, middle, ridge)], plain, BUILDING)
    builder.add([(x1, y0, top), (x1, y1, top), (x1, middle, ridge)], plain, BUILDING)
    slope = [(x0, front, top), (x1, front, top), (x1, middle, ridge), (x0, middle, ridge)]
    builder.add(slope, tiles, BUILDING, two_sided=True)

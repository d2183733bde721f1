"""Sky and skyline: a box about the camera that never comes nearer."""

from __future__ import annotations

import numpy as np

from vidseg_ros.simulation.buildings import WALLS
from vidseg_ros.simulation.polygons import CAMERA, Builder, Layer, Paint, Polygons, paint
from vidseg_ros.simulation.seeding import seeded_rng
from vidseg_ros.simulation.shapes import BUILDING, SKY, TREE, pick, slab, tint
from vidseg_ros.simulation.street import Street
from vidseg_ros.simulation.textures import SIZE, Texture

HAZE_COLOR = np.asarray((0.62, 0.66, 0.70))


def draw_dome(street: Street) -> Polygons:
    """The faces of the box, one metre away: clouds over a gradient, and hazy houses and trees at its foot."""
    rng, builder = seeded_rng(street.seed, 6), Builder()
    builder.begin(Layer.SKY, (0, 0, 0, 0), CAMERA)
    look = _sky_paint(street)
    for quarter in range(4):
        _face(builder, quarter, (-1, 0, 1, 3), look, SKY)
        _face(builder, quarter, (-1, -3, 1, 0.001), look._replace(up=0.0), SKY)
        for y in np.arange(-1, 1, 0.08).tolist():
            leafy = rng.random() < 0.5
            color = 0.6 * HAZE_COLOR + 0.4 * (tint(rng, street.leaf) if leafy else pick(rng, WALLS))
            far = paint(Texture.LEAVES if leafy else Texture.PLAIN, color, 400, 0.2)
            _face(builder, quarter, (y, -0.06, y + 0.09, rng.uniform(0.01, 0.035)), far, TREE if leafy else BUILDING)
    return builder.finish()


def _sky_paint(street: Street) -> Paint:
    blue, gray = np.asarray((0.30, 0.50, 0.82)), np.asarray((0.66, 0.69, 0.73))
    zenith = blue * street.clear + gray * (1 - street.clear)
    colors = [(r, g, b) for r, g, b in np.clip([zenith, zenith * 0.55 + 0.40, (0.97, 0.97, 0.97)], 0, 1).tolist()]
    return Paint(Texture.SKY, SIZE / 2.0, SIZE / 3.0, *colors)


def _face(builder: Builder, quarter: int, box: tuple[float, float, float, float], look: Paint, label: int) -> None:
    """Add a rectangle ``box`` (y0, z0, y1, z1) to the side of the box ``quarter`` turns to the left of +x."""
    cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarter]
    builder.add([(cos - y * sin, sin + y * cos, z) for y, z in slab(*box)], look, label, two_sided=True)

"""Parked and driving cars."""

from __future__ import annotations

from typing import NamedTuple

from vidseg_ros.simulation.polygons import STATIC, Builder, Layer, Paint, paint
from vidseg_ros.simulation.shapes import CAR, CAR_COLORS, GLASS, RUBBER, STEEL, Rng, disc, pick, slab, tint
from vidseg_ros.simulation.textures import Texture


class Body(NamedTuple):
    """Side view of a car: sizes, and where the cabin starts and ends as shares of the length (rear is -0.5)."""

    length: float
    width: float
    height: float
    belt: float
    rear: float
    rear_top: float
    front_top: float
    front: float


BODIES = (
    Body(4.0, 1.72, 1.48, 0.90, -0.48, -0.38, 0.08, 0.26),
    Body(4.6, 1.80, 1.45, 0.90, -0.38, -0.24, 0.06, 0.24),
    Body(4.7, 1.80, 1.50, 0.90, -0.49, -0.44, 0.07, 0.25),
    Body(4.6, 1.88, 1.72, 1.02, -0.48, -0.42, 0.10, 0.26),
    Body(5.3, 1.98, 2.25, 1.15, -0.50, -0.49, 0.24, 0.36),
)


class _Frame:
    """Places corners given ahead, left and above of a car's centre, and adds them to its builder."""

    def __init__(self, builder: Builder, x: float, y: float, ahead: int) -> None:
        self._builder, self._x, self._y, self._ahead = builder, x, y, ahead

    def face(self, corners: list[tuple[float, float, float]], look: Paint, fine: bool = False) -> None:
        turned = [(self._x + self._ahead * x, self._y + self._ahead * y, z) for x, y, z in corners]
        self._builder.add(turned, look, CAR, fine=fine)

    def end(self, side: int, x: float, outline: list[tuple[float, float]], look: Paint, fine: bool = False) -> None:
        """Add an upright polygon across the car; ``side`` is 1 if it looks ahead; outline (y, z) as seen from ahead."""
        ordered = outline if side > 0 else outline[::-1]
        self.face([(side * x, y, z) for y, z in ordered], look, fine)

    def flank(self, side: int, y: float, outline: list[tuple[float, float]], look: Paint, fine: bool = False) -> None:
        """Add an upright polygon along the car; ``side`` is 1 for the left; outline (x, z) as seen from the right."""
        ordered = outline if side < 0 else outline[::-1]
        self.face([(x, side * y, z) for x, z in ordered], look, fine)


def car(builder: Builder, rng: Rng, place: tuple[float, float], ahead: int, mover: int = STATIC) -> None:
    """Add a car about ``place`` (x, y) that looks along +x (``ahead`` 1) or -x (-1)."""
    x, y = place
    body = BODIES[int(rng.choice(len(BODIES), p=(0.3, 0.22, 0.2, 0.16, 0.12)))]
    half, wide = body.length / 2, body.width / 2
    builder.begin(Layer.STREET, (x - half, y - wide, x + half, y + wide), mover)
    lacquer = paint(Texture.GLOSS, pick(rng, CAR_COLORS), contrast=0.6)
    frame = _Frame(builder, x, y, ahead)
    _hull(frame, body, lacquer)
    _ends(frame, body, rng)
    _cabin(frame, body, lacquer)
    outline = [(x + a * half, y + b * wide) for a in (-1.02, 1.02) for b in (-1.08, 1.08)]
    builder.shade(outline, 2)


def _hull(frame: _Frame, body: Body, lacquer: Paint) -> None:
    half, wide, low = body.length / 2, body.width / 2, 0.24
    for side in (-1, 1):
        frame.end(side, half * 0.97, slab(-wide * 0.95, 0.04, wide * 0.95, low), RUBBER)
        frame.end(side, half, slab(-wide, low, wide, body.belt), lacquer)
        frame.flank(side, wide, slab(-half, low, half, body.belt), lacquer)
        frame.flank(side, wide, slab(-half, 0.1, half, low + 0.06), RUBBER)
        for axle in (-0.31, 0.31):
            frame.flank(side, wide, disc(axle * body.length, 0.32, 0.64, 0.64), RUBBER)
            frame.flank(side, wide, disc(axle * body.length, 0.32, 0.36, 0.36), STEEL, fine=True)
    z = body.belt
    frame.face([(-half, -wide, z), (half, -wide, z), (half, wide, z), (-half, wide, z)], lacquer)


def _ends(frame: _Frame, body: Body, rng: Rng) -> None:
    half, wide, belt = body.length / 2, body.width / 2, body.belt
    red, white = paint(Texture.PLAIN, (0.5, 0.05, 0.04)), paint(Texture.PLAIN, (0.78, 0.78, 0.72))
    plate = paint(Texture.PLAIN, tint(rng, (0.78, 0.7, 0.3) if rng.random() < 0.4 else (0.8, 0.8, 0.8)))
    for side, lamp in ((-1, red), (1, white)):
        frame.end(side, half, slab(-wide, 0.24, wide, 0.42), paint(Texture.PLAIN, (0.13, 0.13, 0.135)), fine=True)
        for y in (-0.82, 0.82):
            frame.end(side, half, slab(y * wide - 0.12, belt - 0.26, y * wide + 0.12, belt - 0.09), lamp, fine=True)
            frame.end(side, half, slab(y * wide - 0.11, 0.0, y * wide + 0.11, 0.26), RUBBER)
        frame.end(side, half, slab(-0.26, 0.46, 0.26, 0.57), plate, fine=True)
    frame.end(1, half, slab(-0.45, belt - 0.26, 0.45, belt - 0.12), RUBBER, fine=True)


def _cabin(frame: _Frame, body: Body, lacquer: Paint) -> None:
    low, top = body.belt, body.height
    wide, narrow = body.width / 2 * 0.97, body.width / 2 * 0.8
    x0, x1, x2, x3 = (share * body.length for share in body[4:])
    for side in (-1, 1):
        base, crown = (x3, x2) if side > 0 else (x0, x1)
        for look, inset in ((lacquer, 0.0), (GLASS, 0.12)):
            a, b = wide - inset, narrow - inset * 0.9
            lo, hi = low + inset * 0.4, top - inset * 0.7
            pane = [(base, -a, lo), (base, a, lo), (crown, b, hi), (crown, -b, hi)]
            frame.face(pane if side > 0 else [(x, -y, z) for x, y, z in pane], look, fine=inset > 0)
            glass = [(x0 + inset, lo), (x3 - inset * 1.6, lo), (x2 - inset * 0.4, hi), (x1 + inset, hi)]
            corners = [(x, side * (wide if z == lo else narrow), z) for x, z in glass]
            frame.face(corners if side < 0 else corners[::-1], look, fine=inset > 0)
    frame.face([(x1, -narrow, top), (x2, -narrow, top), (x2, narrow, top), (x1, narrow, top)], lacquer)

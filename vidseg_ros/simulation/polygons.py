"""Planar convex polygons in 3D: all that the street world is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidseg_ros.simulation.textures import Texture

CORNERS = 8
"""Most corners a polygon has; one with fewer repeats its last."""

STATIC, CAMERA = 0, 1
"""Rows of `MoverPoses` that every street has: at rest in the world, and carried along with the camera."""

Floats = NDArray[np.float64]
Color = tuple[float, float, float]


class Layer(IntEnum):
    """Painting order. Inside a layer what lies nearer to the camera comes later."""

    SKY = 0
    GROUND = 1
    MARK = 2
    SHADE = 3  # darkens the ground below it; has no surface of its own
    BACK = 4  # beyond the pavement: cannot hide what stands between the two rows of facades
    BORDER = 5
    STREET = 6


class Paint(NamedTuple):
    """Look of a surface: a pattern, its texels per metre along and up, and the RGB colours (0..1) of its ramp."""

    texture: Texture
    along: float
    up: float
    dark: Color
    base: Color
    light: Color


def paint(texture: Texture, base: ArrayLike, density: float = 40.0, contrast: float = 0.45) -> Paint:
    """The paint whose ramp runs evenly about ``base``, an RGB colour 0..1."""
    color = np.asarray(base, np.float64)
    dark, light = color * (1 - contrast), np.minimum(color * (1 + contrast), 1)
    return Paint(texture, density, density, _color(dark), _color(color), _color(light))


def _color(values: Floats) -> Color:
    return float(values[0]), float(values[1]), float(values[2])


@dataclass(frozen=True)
class Polygons:
    """N polygons, one row each; metres. A point of polygon i is ``origin + a * along + b * up``, then moved."""

    origin: Floats  # (N, 3)
    along: Floats  # (N, 3), unit
    up: Floats  # (N, 3), unit, at right angles to along
    normal: Floats  # (N, 3), unit, at right angles to both
    corners: Floats  # (N, CORNERS, 2) places (a, b)
    ball: Floats  # (N, 3) middle (a, b) and radius of a ball about it
    fine: NDArray[np.bool_]  # (N,): lies on a surface of its own label and may be left out from afar
    two_sided: NDArray[np.bool_]  # (N,): else seen only from where the corners run anticlockwise
    label: NDArray[np.uint8]  # (N,); in Layer.SHADE the depth of the shade, 1 or 2
    layer: NDArray[np.uint8]  # (N,)
    texture: NDArray[np.uint8]  # (N,)
    density: Floats  # (N, 2) texels per metre along and up
    ramp: NDArray[np.float32]  # (N, 3, 3) dark, base, light RGB, 0..1
    footprint: Floats  # (N, 4) x0, y0, x1, y1 of the object it belongs to
    swing: Floats  # (N, 3) amplitude in rad, rate in rad/s and phase in rad of its turning about origin
    mover: NDArray[np.intp]  # (N,) row of the movers' poses

    def __len__(self) -> int:
        return len(self.origin)

    def take(self, rows: NDArray[np.intp]) -> Polygons:
        """The polygons at ``rows``."""
        return Polygons(*(np.take(getattr(self, field.name), rows, axis=0) for field in fields(self)))

    def bent(self, place: Callable[[Floats, Floats], Floats]) -> Polygons:
        """The polygons with ``place`` applied to x and y of every corner.

        Level and upright polygons stay plane where that keeps lines across the street straight. The footprints stay
        as they are: the order of painting is that of the straight street.
        """
        along, up = self.along[:, None], self.up[:, None]
        world = self.origin[:, None] + self.corners[..., :1] * along + self.corners[..., 1:] * up
        world[..., :2] = place(world[..., 0], world[..., 1])
        return replace(self, **_planes(world))


def join(parts: Sequence[Polygons]) -> Polygons:
    """All polygons of ``parts`` in order; the rows of the movers must already agree."""
    return Polygons(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Polygons)))


class Builder:
    """Collects polygons object by object: ``begin`` sets what holds for all that follow."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []
        self.begin(Layer.GROUND, (0, 0, 0, 0))

    def begin(self, layer: Layer, footprint: tuple[float, float, float, float], mover: int = STATIC) -> None:
        """Start an object that stands on ``footprint`` (x0, y0, x1, y1)."""
        self._layer, self._footprint, self._mover = layer, footprint, mover

    def add(
        self,
        corners: Sequence[tuple[float, float, float]],
        look: Paint,
        label: int,
        *,
        two_sided: bool = False,
        fine: bool = False,
        swing: tuple[float, float, float] = (0, 0, 0),
    ) -> None:
        """Add a polygon; the pattern runs along its first edge, and ``swing`` turns it about its first corner.

        ``fine`` marks a detail on a surface of the same label, which is left out from afar.
        """
        points = [*corners, *[corners[-1]] * (CORNERS - len(corners))]
        row = (points, fine, two_sided, label, self._layer, look, self._footprint, swing, self._mover)
        self._rows.append(row)

    def upright(self, x: float, outline: Sequence[tuple[float, float]], look: Paint, label: int, **more: Any) -> None:
        """Add a cut-out that stands across the street at ``x``; ``outline`` holds (y, z)."""
        self.add([(x, y, z) for y, z in outline], look, label, two_sided=True, **more)

    def floor(self, box: tuple[float, float, float, float], z: float, look: Paint, label: int, **more: Any) -> None:
        """Add a level rectangle ``box`` (x0, y0, x1, y1) that is seen from above."""
        x0, y0, x1, y1 = box
        self.add([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], look, label, **more)

    def shade(self, outline: ArrayLike, depth: int) -> None:
        """Darken the ground inside the convex hull of ``outline``, (k, 2) places (x, y)."""
        layer, self._layer = self._layer, Layer.SHADE
        hull = cv2.convexHull(np.asarray(outline, np.float32))[:, 0].tolist()
        if len(hull) >= 3:
            self.add([(x, y, 0.05) for x, y in hull[:CORNERS]], BLANK, depth, two_sided=True)
        self._layer = layer

    def finish(self) -> Polygons:
        """What was collected."""
        points, fine, two_sided, label, layer, looks, footprint, swing, mover = zip(*self._rows, strict=True)
        return Polygons(
            **_planes(np.asarray(points, np.float64)),
            fine=np.asarray(fine, np.bool_),
            two_sided=np.asarray(two_sided, np.bool_),
            label=np.asarray(label, np.uint8),
            layer=np.asarray(layer, np.uint8),
            texture=np.asarray([look.texture for look in looks], np.uint8),
            density=np.asarray([(look.along, look.up) for look in looks], np.float64),
            ramp=np.asarray([(look.dark, look.base, look.light) for look in looks], np.float32),
            footprint=np.asarray(footprint, np.float64),
            swing=np.asarray(swing, np.float64),
            mover=np.asarray(mover, np.intp),
        )


def _planes(world: Floats) -> dict[str, Any]:
    """The rows that say where polygons are, of corners (N, k, 3); the first three of each give its plane."""
    origin, first, second = world[:, 0], world[:, 1] - world[:, 0], world[:, 2] - world[:, 0]
    along = first / np.linalg.norm(first, axis=1, keepdims=True)
    normal = np.cross(first, second)
    up = np.cross(normal / np.linalg.norm(normal, axis=1, keepdims=True), along)
    places = np.einsum("nkx,nax->nka", world - origin[:, None], np.stack([along, up], 1))
    middle = (places.min(1) + places.max(1)) / 2
    radius = np.linalg.norm(places - middle[:, None], axis=2).max(1, keepdims=True)
    ball = np.concatenate([middle, radius], 1)
    normal = np.cross(along, up)
    return {"origin": origin, "along": along, "up": up, "normal": normal, "corners": places, "ball": ball}


BLANK = paint(Texture.PLAIN, (0.0, 0.0, 0.0))

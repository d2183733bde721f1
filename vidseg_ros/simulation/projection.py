"""Where polygons stand before a camera at one time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.simulation.polygons import Floats, Polygons

Reals = NDArray[np.float32]


@dataclass(frozen=True)
class PinholeCamera:
    """A pinhole camera in the street: focal length and centre in pixels, place (3,) in m.

    The rows of ``axes`` (3, 3) are the directions right, down and ahead; ``street`` (2,) is how far along and across
    the street it stands.
    """

    width: int
    height: int
    focal: float
    center: tuple[float, float]
    place: Floats
    axes: Floats
    street: Floats

    @property
    def rays(self) -> tuple[Reals, Reals]:
        """Slopes of each pixel to the right and down against the direction ahead, float32 (H, W) each."""
        return _rays(self.width, self.height, self.focal, self.center)


@lru_cache(maxsize=4)
def _rays(width: int, height: int, focal: float, center: tuple[float, float]) -> tuple[Reals, Reals]:
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return (columns - np.float32(center[0])) / np.float32(focal), (rows - np.float32(center[1])) / np.float32(focal)


@dataclass(frozen=True)
class MoverPoses:
    """Where everything that moves has got to, a row each; ``mover`` of a polygon is its row."""

    world: Floats  # (rows, 3), m
    street: Floats  # (rows, 2), m along and across the street, for the order of painting
    turn: Floats  # (rows,), rad to the left about the origin of the world, before it is moved

    def posed(self, polygons: Polygons, time: float) -> Polygons:
        """``polygons`` in the world at ``time``."""
        rows = np.flatnonzero(polygons.mover)
        mover, (size, rate, phase) = polygons.mover[rows], polygons.swing[rows].T
        turn, swing = self.turn[mover], size * np.sin(rate * time + phase)
        vectors = np.stack([polygons.along, polygons.up, polygons.normal, polygons.origin])
        along, up, normal, origin = _turned(vectors[:, rows], turn)
        cos, sin = np.cos(swing)[:, None], np.sin(swing)[:, None]
        vectors[:, rows] = cos * along + sin * up, cos * up - sin * along, normal, origin + self.world[mover]
        along, up, normal, origin = vectors
        return replace(polygons, along=along, up=up, normal=normal, origin=origin)


def _turned(vectors: Floats, turn: Floats) -> Floats:
    """Vectors (..., n, 3) turned to the left by ``turn`` (n,), rad."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    cos, sin = np.cos(turn), np.sin(turn)
    return np.stack([cos * x - sin * y, sin * x + cos * y, z], -1)


def _cross(a: Floats, b: Floats) -> Floats:
    """Cross products of vectors (3, N)."""
    return np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


@dataclass(frozen=True)
class Placed:
    """Polygons as one camera sees them at one time. A point of polygon i is ``axes[i] @ (a, b, 1)``."""

    axes: Floats  # (N, 3, 3): columns along, up and origin, in camera coordinates

    @staticmethod
    def of(posed: Polygons, camera: PinholeCamera, rows: NDArray[np.intp] | slice = slice(None)) -> Placed:
        """The polygons at ``rows`` of those ``posed`` in the world."""
        vectors = posed.along[rows], posed.up[rows], posed.origin[rows] - camera.place
        axes = np.stack(vectors, 1).reshape(-1, 3) @ camera.axes.T
        return Placed(np.swapaxes(axes.reshape(-1, 3, 3), 1, 2))

    def take(self, rows: NDArray[np.intp]) -> Placed:
        """The polygons at ``rows``."""
        return Placed(self.axes[rows])

    def points(self, corners: Floats) -> Floats:
        """Corners (N, k, 2) in camera coordinates, (3, k, N)."""
        (a, b), axes = np.ascontiguousarray(corners.T), np.ascontiguousarray(self.axes.T)
        return np.stack([a * along + b * up + origin for along, up, origin in np.swapaxes(axes, 0, 1)])

    def facing(self) -> NDArray[np.float64]:
        """The distance (N,) of each plane from the camera, positive where its front is seen."""
        along, up, origin = self.axes.transpose(2, 1, 0)
        return np.asarray(-np.einsum("in,in->n", _cross(along, up), origin))

    @cached_property
    def from_rays(self) -> Floats:
        """Maps (N, 3, 3) that take a ray (right, down, 1) to (a, b, 1) / depth on the polygon's plane."""
        along, up, origin = (np.ascontiguousarray(column) for column in self.axes.transpose(2, 1, 0))
        rows = np.stack([_cross(up, origin), _cross(origin, along), _cross(along, up)])
        rows /= np.einsum("in,in->n", along, rows[0])  # Cramer's rule
        return rows.transpose(2, 0, 1)

"""Where polygons stand before a camera at one time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

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

    @cached_property
    def rays(self) -> tuple[Reals, Reals]:
        """Slope of each column (1, W) and row (H, 1) against the direction ahead, float32."""
        columns = (np.arange(self.width, dtype=np.float32) - np.float32(self.center[0])) / np.float32(self.focal)
        rows = (np.arange(self.height, dtype=np.float32) - np.float32(self.center[1])) / np.float32(self.focal)
        return columns[None], rows[:, None]


@dataclass(frozen=True)
class MoverPoses:
    """Where everything that moves has got to, a row each; ``mover`` of a polygon is its row."""

    world: Floats  # (rows, 3), m
    street: Floats  # (rows, 2), m along and across the street, for the order of painting
    turn: Floats  # (rows,), rad to the left about the origin of the world, before it is moved

    def turned(self, polygons: Polygons) -> tuple[Floats, Floats, Floats]:
        """Along, up and origin of ``polygons``, (N, 3) each, as they stand now."""
        vectors = polygons.along, polygons.up, polygons.origin
        moved = self.world[polygons.mover]
        if not self.turn.any():
            return vectors[0], vectors[1], vectors[2] + moved
        cos, sin = np.cos(self.turn)[polygons.mover], np.sin(self.turn)[polygons.mover]
        along, up, origin = (
            np.stack([cos * v[:, 0] - sin * v[:, 1], sin * v[:, 0] + cos * v[:, 1], v[:, 2]], 1) for v in vectors
        )
        return along, up, origin + moved


@dataclass(frozen=True)
class Placed:
    """Polygons as one camera sees them at one time. A point of polygon i is ``axes[i] @ (a, b, 1)``."""

    axes: Floats  # (N, 3, 3): columns along, up and origin, in camera coordinates

    @staticmethod
    def of(polygons: Polygons, poses: MoverPoses, camera: PinholeCamera, time: float) -> Placed:
        """Place ``polygons`` as they have moved at ``time``."""
        turn = polygons.swing[:, 0] * np.sin(polygons.swing[:, 1] * time + polygons.swing[:, 2])
        cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
        along, up, origin = poses.turned(polygons)
        axes = np.empty((len(polygons), 3, 3))
        axes[:, 0] = cos * along + sin * up
        axes[:, 1] = cos * up - sin * along
        axes[:, 2] = origin - camera.place
        return Placed(np.swapaxes((axes.reshape(-1, 3) @ camera.axes.T).reshape(-1, 3, 3), 1, 2))

    def take(self, rows: NDArray[np.intp]) -> Placed:
        """The polygons at ``rows``."""
        return Placed(self.axes[rows])

    def points(self, corners: Floats) -> Floats:
        """The corners (N, k, 2) in camera coordinates (N, k, 3)."""
        return np.asarray(corners @ np.swapaxes(self.axes[:, :, :2], 1, 2) + self.axes[:, None, :, 2])

    def middles(self, middle: Floats) -> Floats:
        """The place (N, 3) in camera coordinates of one point (a, b) of each polygon, (N, 2)."""
        axes = self.axes
        return np.asarray(axes[:, :, 0] * middle[:, :1] + axes[:, :, 1] * middle[:, 1:] + axes[:, :, 2])

    def facing(self) -> NDArray[np.float64]:
        """The distance (N,) of each plane from the camera, positive where its front is seen."""
        axes = self.axes
        return np.asarray(-np.einsum("ni,ni->n", np.cross(axes[:, :, 0], axes[:, :, 1]), axes[:, :, 2]))

    @cached_property
    def from_rays(self) -> Floats:
        """Maps (N, 3, 3) that take a ray (right, down, 1) to (a, b, 1) / depth on the polygon's plane."""
        return np.asarray(np.linalg.inv(self.axes), np.float64)

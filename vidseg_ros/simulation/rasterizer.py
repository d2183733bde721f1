"""Every pixel gets the id of one polygon; label, flow and colour all follow from it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.simulation.polygons import Floats, Layer, Polygons
from vidseg_ros.simulation.projection import MoverPoses, PinholeCamera, Placed, Reals

NEAR = 0.3
"""Nothing nearer to the camera than this is seen, m."""

_SUBPIXEL_BITS = 4
_SMALLEST, _SMALLEST_FINE = 1.5, 5.0  # pixels; what lies in a ball smaller than this is left out
_NOWHERE = np.full((1, 2), -(1 << 12), np.int32)  # outside of every image

Image = NDArray[np.uint8]
Ids = NDArray[np.intp]


@dataclass(frozen=True)
class Raster:
    """Which polygon each pixel shows: ``ids`` are rows of ``polygons``, which are in painting order."""

    polygons: Polygons
    placed: Placed
    camera: PinholeCamera
    ids: Ids  # (H, W)
    shade: Image  # (H, W), 0 lit, 1 in shadow, 2 in the dark under something; only valid on the ground
    depth: Floats  # (N,) mean depth of the corners, m

    @property
    def labels(self) -> Image:
        """Class ids, uint8 (H, W)."""
        return np.take(self.polygons.label, self.ids)

    def map_rays(self, maps: Floats) -> tuple[Reals, Reals, Reals]:
        """Apply to the ray of each pixel the map (N, 3, 3) of its polygon; return three float32 (H, W)."""
        table = np.ascontiguousarray(maps.reshape(-1, 9).T.astype(np.float32))
        column, row = self.camera.rays

        def mapped(first: int) -> Reals:
            total, down, ahead = (np.take(table[first + i], self.ids) for i in range(3))
            total *= column
            down *= row
            total += down
            total += ahead
            return total

        return mapped(0), mapped(3), mapped(6)

    def flow(self, later: Floats) -> Reals:
        """Where each surface point moves, float32 (H, W, 2) pixels right and down.

        ``later`` (N, 3, 3) takes the ray of a pixel to that of the same surface point in the next frame. A point that
        will be beside or behind the camera gets a large finite motion.
        """
        camera = self.camera
        right, down, depth = self.map_rays(later)
        scale = np.float32(camera.focal) / np.maximum(depth, np.float32(0.02))
        column, row = camera.rays
        moved = cv2.merge(
            [right * scale - column * np.float32(camera.focal), down * scale - row * np.float32(camera.focal)]
        )
        return np.asarray(moved, np.float32)


def rasterize(polygons: Polygons, poses: MoverPoses, camera: PinholeCamera, time: float) -> Raster:
    """Paint ``polygons`` from far to near."""
    placed = Placed.of(polygons, poses, camera, time)
    rows = _in_view(polygons, placed, camera)
    rows = rows[_far_to_near(polygons, poses, camera, rows)]
    points = placed.take(rows).points(polygons.corners[rows])
    ids = np.zeros((camera.height, camera.width), np.int32)
    shade = np.zeros((camera.height, camera.width), np.uint8)
    shading, depths = (polygons.layer[rows] == Layer.SHADE).tolist(), polygons.label[rows].tolist()
    for number, outline in enumerate(_outlines(points, camera)):
        if shading[number]:
            cv2.fillConvexPoly(shade, outline, depths[number], cv2.LINE_8, _SUBPIXEL_BITS)
        else:
            cv2.fillConvexPoly(ids, outline, number, cv2.LINE_8, _SUBPIXEL_BITS)
    kept = np.flatnonzero(np.bincount(ids.ravel(), minlength=len(rows)))  # most are hidden by others
    renumber = np.zeros(len(rows), np.intp)
    renumber[kept] = np.arange(len(kept))
    rows, depth = rows[kept], points[kept, :, 2].mean(1)
    return Raster(polygons.take(rows), placed.take(rows), camera, renumber[ids], shade, depth)


def _in_view(polygons: Polygons, placed: Placed, camera: PinholeCamera) -> NDArray[np.intp]:
    """The rows of the polygons whose surrounding ball is in view and large enough to matter."""
    facing = placed.facing()
    seen = np.where(polygons.two_sided, np.abs(facing), facing) > 1e-3
    across, down, ahead = placed.middles(polygons.ball[:, :2]).T
    radius = polygons.ball[:, 2]
    right, bottom = (camera.width - camera.center[0]) / camera.focal, (camera.height - camera.center[1]) / camera.focal
    seen &= ahead + radius > NEAR
    seen &= np.abs(across) - right * ahead < radius * np.hypot(1, right)
    seen &= np.abs(down) - bottom * ahead < radius * np.hypot(1, bottom)
    seen &= 2 * radius * camera.focal > np.where(polygons.fine, _SMALLEST_FINE, _SMALLEST) * ahead
    return np.flatnonzero(seen)


def _project(points: Floats, camera: PinholeCamera) -> Floats:
    depth = np.maximum(points[..., 2:], NEAR)
    return np.asarray(points[..., :2] * (camera.focal / depth) + camera.center)


def _far_to_near(
    polygons: Polygons, poses: MoverPoses, camera: PinholeCamera, rows: NDArray[np.intp]
) -> NDArray[np.intp]:
    """The painting order: by layer, then by the distance of each object's nearest point."""
    shift = poses.street[polygons.mover[rows]] - camera.street
    low, high = polygons.footprint[rows, :2] + shift, polygons.footprint[rows, 2:] + shift
    distance = np.hypot(*np.maximum(np.maximum(low, -high), 0).T)
    return np.lexsort((-distance, polygons.layer[rows]))


def _outlines(points: Floats, camera: PinholeCamera) -> list[NDArray[np.int32]]:
    """The outlines on the image in the fixed-point numbers that OpenCV fills."""
    pixels = np.rint(_project(points, camera) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    outlines = list(pixels)
    for i in np.flatnonzero(points[:, :, 2].min(1) < NEAR).tolist():
        clipped = _project(_clip(points[i]), camera) * (1 << _SUBPIXEL_BITS)
        outlines[i] = np.rint(clipped).astype(np.int32) if len(clipped) else _NOWHERE
    return outlines


def _clip(points: Floats) -> Floats:
    """Cut off what is nearer than NEAR from one polygon (k, 3)."""
    kept = []
    for a, b in zip(points, np.roll(points, -1, axis=0), strict=True):
        if a[2] >= NEAR:
            kept.append(a)
        if (a[2] >= NEAR) != (b[2] >= NEAR):
            kept.append(a + (b - a) * ((NEAR - a[2]) / (b[2] - a[2])))
    return np.asarray(kept).reshape(-1, 3)

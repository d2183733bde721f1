"""Every pixel shows one polygon; label, flow and colour all follow from which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.simulation.polygons import Floats, Layer, Polygons
from vidseg_ros.simulation.projection import MoverPoses, PinholeCamera, Placed, Reals

NEAR = 0.3
"""Nothing nearer to the camera than this is seen, m."""

BLOCKS = 6
"""Parts in which polygons are painted, from near to far, each without what the parts before it hide."""

LONGEST = 32
"""Pixels of a run. Inside one a pattern is laid straight, as if the surface stood square to the camera."""

_SUBPIXEL_BITS = 4
_SMALLEST, _SMALLEST_FINE = 1.5, 5.0  # pixels; what lies in a ball smaller than this is left out
_NOWHERE = np.full((1, 2), -(1 << 12), np.int32)  # outside of every image

Image = NDArray[np.uint8]
Rows = NDArray[np.intp]
Boxes = NDArray[np.int32]  # (n, 4): x0, y0, x1, y1 in pixels, the end excluded


@dataclass(frozen=True)
class Raster:
    """The image as R runs of pixels, each along one row, that show one polygon in one shade."""

    polygons: Polygons  # N, in painting order
    placed: Placed
    depth: Floats  # (N,) mean depth of the corners, m
    camera: PinholeCamera
    ids: Rows  # (R,) rows of polygons
    shade: Image  # (R,), 0 lit, 1 in shadow, 2 in the dark under something; only on the ground
    lines: Rows  # (R,) rows of the image
    columns: Rows  # (R,) where in them it begins
    lengths: Rows  # (R,) pixels, up to LONGEST

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """Image (H, W) of one value for each run, (R,)."""
        return np.repeat(values, self.lengths).reshape(self.camera.height, self.camera.width)

    @property
    def labels(self) -> Image:
        """Class ids, uint8 (H, W)."""
        return self.spread(self.polygons.label[self.ids])

    def map_rays(self, maps: Floats) -> tuple[Reals, Reals, Reals]:
        """Rays of the pixels under the map (N, 3, 3) of their polygons, three float32 (H, W)."""
        columns, rows = self.camera.rays
        table = maps.reshape(-1, 9).T.astype(np.float32)[:, self.ids]
        table[1::3] *= rows[self.lines, 0]

        def mapped(first: int) -> Reals:
            total, down, ahead = (self.spread(values) for values in table[first : first + 3])
            total *= columns
            total += down
            total += ahead
            return total

        return mapped(0), mapped(3), mapped(6)

    def flow(self, later: Floats) -> Reals:
        """Motion of each surface point, float32 (H, W, 2) pixels right and down.

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
    """What ``camera`` sees of ``polygons`` as they have moved at ``time``."""
    posed = poses.posed(polygons, time)
    rows = _in_view(posed, camera)
    rows = rows[_far_to_near(polygons, poses, camera, rows)]
    placed = Placed.of(posed, camera, rows)
    points = placed.points(polygons.corners[rows])
    ids, shade = _paint(points, camera, polygons.layer[rows], polygons.label[rows])
    begin = np.flatnonzero(_begins(ids, shade))
    shown = ids.ravel()[begin].astype(np.intp)
    seen = np.bincount(shown, minlength=len(rows)) > 0  # most polygons are hidden by others
    kept = np.flatnonzero(seen)
    depth = points[2][:, kept].T.copy().mean(1)
    lines, columns = np.divmod(begin, camera.width)
    parts = (np.cumsum(seen) - 1)[shown], shade.ravel()[begin], lines, columns, np.diff(begin, append=ids.size)
    return Raster(polygons.take(rows[kept]), placed.take(kept), depth, camera, *parts)


def _begins(ids: NDArray[np.int16], shade: Image) -> NDArray[np.bool_]:
    """Pixels (H, W) at which a run begins."""
    begins = np.ones(ids.shape, np.bool_)
    np.not_equal(ids[:, 1:], ids[:, :-1], out=begins[:, 1:])
    begins[:, 1:] |= shade[:, 1:] != shade[:, :-1]
    begins[:, ::LONGEST] = True
    return begins


def _in_view(posed: Polygons, camera: PinholeCamera) -> Rows:
    """Rows of the polygons whose surrounding ball is in view and large enough to matter."""
    middle, radius = posed.ball[:, :2], posed.ball[:, 2]
    middles = posed.origin + middle[:, :1] * posed.along + middle[:, 1:] * posed.up
    across, down, ahead = camera.axes @ (middles - camera.place).T
    right, bottom = (camera.width - camera.center[0]) / camera.focal, (camera.height - camera.center[1]) / camera.focal
    seen = ahead + radius > NEAR
    seen &= np.abs(across) - right * ahead < radius * np.hypot(1, right)
    seen &= np.abs(down) - bottom * ahead < radius * np.hypot(1, bottom)
    seen &= 2 * radius * camera.focal > np.where(posed.fine, _SMALLEST_FINE, _SMALLEST) * ahead
    facing = np.einsum("ni,ni->n", posed.normal, camera.place - posed.origin)
    seen &= np.where(posed.two_sided, np.abs(facing), facing) > 1e-3
    return np.flatnonzero(seen)


def _far_to_near(polygons: Polygons, poses: MoverPoses, camera: PinholeCamera, rows: Rows) -> Rows:
    """Painting order: by layer, then by the distance of each object's nearest point."""
    shift = poses.street[polygons.mover[rows]] - camera.street
    low, high = polygons.footprint[rows, :2] + shift, polygons.footprint[rows, 2:] + shift
    distance = np.hypot(*np.maximum(np.maximum(low, -high), 0).T)
    return np.lexsort((-distance, polygons.layer[rows]))


def _paint(
    points: Floats, camera: PinholeCamera, layer: NDArray[np.uint8], label: NDArray[np.uint8]
) -> tuple[NDArray[np.int16], Image]:
    """Number of the polygon at each pixel and shade of the ground there, (H, W) each.

    The last painted of the polygons at a pixel has the greatest number, so blocks of them may be painted apart.
    """
    outlines, boxes = _outlines(points, camera)
    ids = np.zeros((camera.height, camera.width), np.int16)
    for block in reversed(np.array_split(np.flatnonzero(layer != Layer.SHADE), BLOCKS)):
        nearer, ids = ids, np.zeros_like(ids)
        for number in block[_count(nearer == 0, boxes[block]) > 0].tolist():
            cv2.fillConvexPoly(ids, outlines[number], number, cv2.LINE_8, _SUBPIXEL_BITS)
        cv2.max(ids, nearer, dst=ids)
    ground, shade = ids < np.searchsorted(layer, Layer.SHADE), np.zeros(ids.shape, np.uint8)
    shades = np.flatnonzero(layer == Layer.SHADE)
    for number in shades[_count(ground, boxes[shades]) > 0].tolist():
        cv2.fillConvexPoly(shade, outlines[number], int(label[number]), cv2.LINE_8, _SUBPIXEL_BITS)
    return ids, shade * ground


def _count(mask: NDArray[np.bool_], boxes: Boxes) -> NDArray[np.int32]:
    """How many pixels of ``mask`` (H, W) lie in each box, (n,)."""
    sums, (x0, y0, x1, y1) = cv2.integral(mask.view(np.uint8)), boxes.T
    return np.asarray(sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0])


def _outlines(points: Floats, camera: PinholeCamera) -> tuple[list[NDArray[np.int32]], Boxes]:
    """Outlines on the image in the fixed-point numbers that OpenCV fills, and the boxes about them."""
    pixels = _project(points, camera)
    low, high = pixels.min(1) >> _SUBPIXEL_BITS, (pixels.max(1) >> _SUBPIXEL_BITS) + 2
    boxes = np.concatenate([low, high]).T.clip(0, [camera.width, camera.height] * 2)
    outlines = list(np.ascontiguousarray(pixels.T))
    near = np.flatnonzero(points[2].min(0) < NEAR)
    boxes[near] = 0, 0, camera.width, camera.height
    for number, outline in zip(near.tolist(), _clipped(points[:, :, near], camera), strict=True):
        outlines[number] = outline if len(outline) else _NOWHERE
    return outlines, boxes


def _project(points: Floats, camera: PinholeCamera) -> NDArray[np.int32]:
    scale = camera.focal / np.maximum(points[2], NEAR)
    places = np.stack([axis * scale + center for axis, center in zip(points, camera.center, strict=False)])
    return np.asarray(np.rint(places * (1 << _SUBPIXEL_BITS)), np.int32)


def _clipped(points: Floats, camera: PinholeCamera) -> list[NDArray[np.int32]]:
    """Outlines (k, 2) without what is nearer than NEAR."""
    following = np.roll(points, -1, axis=1)
    inside = points[2] >= NEAR
    crossing = inside != (following[2] >= NEAR)
    steps = following - points
    cuts = points + steps * np.divide(NEAR - points[2], steps[2], where=crossing, out=np.zeros(crossing.shape))
    corners = _project(np.stack([points, cuts], 2).reshape(3, -1, points.shape[2]), camera).T
    used = np.stack([inside, crossing], 1).reshape(-1, points.shape[2]).T
    return [np.ascontiguousarray(outline[mask]) for outline, mask in zip(corners, used, strict=True)]

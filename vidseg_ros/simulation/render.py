"""Pixels from polygons: every pixel gets the id of one polygon, and colour, label and flow all follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.simulation.polygons import Floats, Layer, Polygons
from vidseg_ros.simulation.textures import LEVELS, SHADES, SIZE, atlas

NEAR = 0.3
"""Nothing nearer to the camera than this is seen, m."""

_SUBPIXEL_BITS = 4
_SMALLEST, _SMALLEST_FINE = 1.5, 5.0  # pixels; what lies in a ball smaller than this is left out
_NOWHERE = np.full((1, 2), -(1 << 12), np.int32)  # outside of every image

Image = NDArray[np.uint8]
Ids = NDArray[np.intp]
Reals = NDArray[np.float32]


@dataclass(frozen=True)
class Camera:
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
class Motion:
    """Where everything that moves has got to, a row each; ``mover`` of a polygon is its row."""

    world: Floats  # (rows, 3), m
    street: Floats  # (rows, 2), m along and across the street, for the order of painting
    turn: Floats  # (rows,), rad to the left about the origin of the world, before it is moved

    def turned(self, polygons: Polygons) -> tuple[Floats, Floats, Floats]:
        """Return along, up and origin of ``polygons``, (N, 3) each, as they stand now."""
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
class Light:
    """Light on a scene: unit vector to the sun and RGB strengths; 1 leaves a colour as it is.

    ``sight`` is the distance over which haze takes away 63 % of the contrast, m.
    """

    to_sun: Floats
    sun: Floats
    ambient: Floats
    haze: Floats
    sight: float
    exposure: float


@dataclass(frozen=True)
class Placed:
    """Polygons as one camera sees them at one time. A point of polygon i is ``axes[i] @ (a, b, 1)``."""

    axes: Floats  # (N, 3, 3): columns along, up and origin, in camera coordinates

    @staticmethod
    def of(polygons: Polygons, motion: Motion, camera: Camera, time: float) -> Placed:
        """Place ``polygons`` as they have moved at ``time``."""
        turn = polygons.swing[:, 0] * np.sin(polygons.swing[:, 1] * time + polygons.swing[:, 2])
        cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
        along, up, origin = motion.turned(polygons)
        axes = np.empty((len(polygons), 3, 3))
        axes[:, 0] = cos * along + sin * up
        axes[:, 1] = cos * up - sin * along
        axes[:, 2] = origin - camera.place
        return Placed(np.swapaxes((axes.reshape(-1, 3) @ camera.axes.T).reshape(-1, 3, 3), 1, 2))

    def take(self, rows: NDArray[np.intp]) -> Placed:
        """Return the polygons at ``rows``."""
        return Placed(self.axes[rows])

    def points(self, corners: Floats) -> Floats:
        """Return the corners (N, k, 2) in camera coordinates (N, k, 3)."""
        return np.asarray(corners @ np.swapaxes(self.axes[:, :, :2], 1, 2) + self.axes[:, None, :, 2])

    def middles(self, middle: Floats) -> Floats:
        """Return the place (N, 3) in camera coordinates of one point (a, b) of each polygon, (N, 2)."""
        axes = self.axes
        return np.asarray(axes[:, :, 0] * middle[:, :1] + axes[:, :, 1] * middle[:, 1:] + axes[:, :, 2])

    def facing(self) -> NDArray[np.float64]:
        """Return the distance (N,) of each plane from the camera, positive where its front is seen."""
        axes = self.axes
        return np.asarray(-np.einsum("ni,ni->n", np.cross(axes[:, :, 0], axes[:, :, 1]), axes[:, :, 2]))

    @cached_property
    def from_rays(self) -> Floats:
        """Maps (N, 3, 3) that take a ray (right, down, 1) to (a, b, 1) / depth on the polygon's plane."""
        return np.asarray(np.linalg.inv(self.axes), np.float64)


@dataclass(frozen=True)
class Painting:
    """Which polygon each pixel shows: ``ids`` are rows of ``polygons``, which are in painting order."""

    polygons: Polygons
    placed: Placed
    camera: Camera
    ids: Ids  # (H, W)
    shade: Image  # (H, W), 0 lit, 1 in shadow, 2 in the dark under something; only valid on the ground
    depth: Floats  # (N,) mean depth of the corners, m

    @property
    def labels(self) -> Image:
        """Class ids, uint8 (H, W)."""
        return np.take(self.polygons.label, self.ids)


def paint_scene(polygons: Polygons, motion: Motion, camera: Camera, time: float) -> Painting:
    """Paint ``polygons`` from far to near."""
    placed = Placed.of(polygons, motion, camera, time)
    rows = _in_view(polygons, placed, camera)
    rows = rows[_far_to_near(polygons, motion, camera, rows)]
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
    return Painting(polygons.take(rows), placed.take(rows), camera, renumber[ids], shade, depth)


def _in_view(polygons: Polygons, placed: Placed, camera: Camera) -> NDArray[np.intp]:
    """Return the rows of the polygons whose surrounding ball is in view and large enough to matter."""
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


def _project(points: Floats, camera: Camera) -> Floats:
    depth = np.maximum(points[..., 2:], NEAR)
    return np.asarray(points[..., :2] * (camera.focal / depth) + camera.center)


def _far_to_near(polygons: Polygons, motion: Motion, camera: Camera, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the painting order: by layer, then by the distance of each object's nearest point."""
    shift = motion.street[polygons.mover[rows]] - camera.street
    low, high = polygons.footprint[rows, :2] + shift, polygons.footprint[rows, 2:] + shift
    distance = np.hypot(*np.maximum(np.maximum(low, -high), 0).T)
    return np.lexsort((-distance, polygons.layer[rows]))


def _outlines(points: Floats, camera: Camera) -> list[NDArray[np.int32]]:
    """Return the outlines on the image in the fixed-point numbers that OpenCV fills."""
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


def _map_rays(maps: Floats, ids: NDArray[np.intp], camera: Camera) -> tuple[Reals, Reals, Reals]:
    """Apply to the ray of each pixel the map (N, 3, 3) of its polygon; return three float32 (H, W)."""
    table = np.ascontiguousarray(maps.reshape(-1, 9).T.astype(np.float32))
    column, row = camera.rays
    first, second, third = (
        np.take(table[i], ids) * column + np.take(table[i + 1], ids) * row + np.take(table[i + 2], ids)
        for i in (0, 3, 6)
    )
    return first, second, third


def flow(painting: Painting, later: Floats) -> Reals:
    """Return where each surface point moves, float32 (H, W, 2) pixels right and down.

    ``later`` (N, 3, 3) takes the ray of a pixel to that of the same surface point in the next frame. A point that
    will be beside or behind the camera gets a large finite motion.
    """
    camera = painting.camera
    right, down, depth = _map_rays(later, painting.ids, camera)
    scale = np.float32(camera.focal) / np.maximum(depth, np.float32(0.02))
    column, row = camera.rays
    moved = cv2.merge(
        [right * scale - column * np.float32(camera.focal), down * scale - row * np.float32(camera.focal)]
    )
    return np.asarray(moved, np.float32)


def colors(painting: Painting, light: Light) -> Image:
    """Return the picture, uint8 RGB (H, W, 3), as an ideal lens would take it."""
    ids = painting.ids
    texels = _texels(painting, ids)
    table, ground = _color_table(painting, light)
    shade = painting.shade * (painting.ids < ground)
    count = len(painting.polygons)
    rows = ids + np.take(np.asarray([0, count, count + ground], np.intp), shade)
    rgba = np.take(table.ravel(), rows * SHADES + texels).view(np.uint8).reshape(*ids.shape, 4)
    return np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB))


def _texels(painting: Painting, ids: NDArray[np.intp]) -> Image:
    """Look the pattern up at each pixel, uint8 (H, W), blurred to the size of the pixel on the surface."""
    polygons, camera = painting.polygons, painting.camera
    maps = painting.placed.from_rays.copy()
    maps[:, :2] *= polygons.density[:, :, None]
    # With the map scaled so, third**-1.5 is the edge of a pixel in texels: the mean of its two sides on a surface
    # seen at a slant, the one growing with depth and the other with depth squared.
    fineness = np.maximum(np.sqrt(polygons.density.prod(1)), 1.0)
    scale = (camera.focal * np.sqrt(np.abs(painting.placed.facing())) / fineness) ** (2 / 3)
    maps *= scale[:, None, None]
    across, up, nearness = _map_rays(maps, ids, camera)
    nearness = np.maximum(nearness, np.float32(1e-6))
    level = np.clip(np.log2(nearness) * np.float32(-1.5) + np.float32(0.3), 0, LEVELS - 1).astype(np.int32)
    column, row = (  # a surface seen edge-on may reach to infinity inside one pixel
        np.clip(place / nearness, -1e8, 1e8).astype(np.int32) & (SIZE - 1) for place in (across, up)
    )
    tile = np.take(polygons.texture.astype(np.int32) * LEVELS, ids) + level
    return np.asarray(np.take(atlas().ravel(), (tile * SIZE + row) * SIZE + column))


def _color_table(painting: Painting, light: Light) -> tuple[NDArray[np.uint32], int]:
    """Return RGBA of each texel value, (rows, SHADES), and the number of ground polygons.

    Rows are the N polygons, then the ground ones again in shadow and once more in the dark.
    """
    polygons = painting.polygons
    ground = int((polygons.layer < Layer.SHADE).sum())  # they come first
    sky = polygons.layer == Layer.SKY
    normal = np.cross(polygons.along, polygons.up)
    slant = np.where(polygons.two_sided, 0.5, np.maximum(normal @ light.to_sun, 0))[:, None]
    ambient = (0.8 + 0.2 * np.abs(normal[:, 2]))[:, None] * light.ambient
    lit = np.where(sky[:, None], 1.0, ambient + slant * light.sun)
    dim = np.where(sky[:ground, None], 1.0, ambient[:ground])
    strength = np.concatenate([lit, dim, np.where(sky[:ground, None], 1.0, dim * 0.5)])
    haze = np.where(sky, 0.0, 1 - np.exp(-np.maximum(painting.depth, 0) / light.sight))
    rows = np.concatenate([np.arange(len(polygons)), np.arange(ground), np.arange(ground)])
    ramp = polygons.ramp[rows] * strength[:, None].astype(np.float32)
    ramp += (light.haze.astype(np.float32) - ramp) * haze[rows, None, None].astype(np.float32)
    return _ramp_table(ramp * np.float32(light.exposure)), ground


def _ramp_table(ramp: Reals) -> NDArray[np.uint32]:
    """Spread ramps (rows, 3 stops, 3 RGB) 0..1 over the texel values: RGBA, one uint32 each."""
    place = np.linspace(0, 2, SHADES, dtype=np.float32)
    weights = np.maximum(1 - np.abs(place - np.arange(3, dtype=np.float32)[:, None]), 0)
    spread = np.swapaxes(ramp, 1, 2).reshape(-1, 3) @ weights
    levels = np.clip(spread * 255 + 0.5, 0, 255).astype(np.uint32).reshape(-1, 3, SHADES)
    return np.asarray(levels[:, 0] | levels[:, 1] << 8 | levels[:, 2] << 16 | np.uint32(255 << 24))

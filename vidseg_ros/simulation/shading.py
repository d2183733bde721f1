"""Colours of a raster: patterns, light and haze."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.simulation.polygons import Floats, Layer
from vidseg_ros.simulation.projection import Reals
from vidseg_ros.simulation.rasterizer import Image, Raster, Rows
from vidseg_ros.simulation.textures import LEVELS, SHADES, SIZE, atlas

Packed = NDArray[np.uint32]

BLURRED_FROM = np.asarray(
    (0.7236346, 0.45586124, 0.28717458, 0.18090867, 0.113965325, 0.07179366),  # 2 ** ((0.3 - copy) / 1.5)
    np.float32,
)
"""Greatest nearness (see _texels) at which each blurred copy of a pattern is shown."""


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


def colors(raster: Raster, light: Light) -> Image:
    """The picture, uint8 RGB (H, W, 3), as an ideal lens would take it."""
    table, ground = _color_table(raster, light)
    count = len(raster.polygons)
    starts = np.asarray([0, count, count + ground], np.intp)  # of the rows lit, in shadow and in the dark
    begin, step, tiles = _patterns(raster)
    rows = raster.spread(((raster.ids + starts[raster.shade]) << 16 | tiles).astype(np.uint32))
    texels = _look_up(atlas().reshape(-1, SIZE), _texels(raster, begin, step) + (rows << 24))
    rgba = _look_up(table, rows & np.uint32(0xFFFF0000) | texels)
    return np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB))


def _look_up(image: Image, places: Packed) -> Image:
    """The pixels of an image at (H, W) places, row << 16 | column each."""
    maps = places.view(np.int16).reshape(*places.shape, 2)
    return np.asarray(cv2.remap(image, maps, None, cv2.INTER_NEAREST), np.uint8)


def _texels(raster: Raster, begin: Packed, step: Packed) -> Packed:
    """Where in its tile each pixel lies, row << 16 | column, from where its run begins and the way of a pixel."""
    columns = np.arange(raster.camera.width, dtype=np.uint32)
    places = raster.spread(step)
    places *= columns
    places += raster.spread(begin - step * raster.columns.astype(np.uint32))
    places >>= 8
    places &= np.uint32((SIZE - 1) << 16 | SIZE - 1)
    return np.asarray(places)


def _texel_maps(raster: Raster) -> Floats:
    """Maps (N, 3, 3) of rays to (column, row, 1) in texels times a nearness.

    The nearness to the power of -1.5 is the edge of a pixel in texels: the mean of its two sides on a surface seen at a
    slant, the one growing with depth and the other with depth squared.
    """
    polygons, maps = raster.polygons, raster.placed.from_rays.copy()
    maps[:, :2] *= polygons.density[:, :, None]
    fineness = np.maximum(np.sqrt(polygons.density.prod(1)), 1.0)
    scale = (raster.camera.focal * np.sqrt(np.abs(raster.placed.facing())) / fineness) ** (2 / 3)
    maps *= scale[:, None, None]
    return maps


def _patterns(raster: Raster) -> tuple[Packed, Packed, Rows]:
    """Where in its tile each run begins, the way of a pixel, and which tile of the atlas it is, (R,) each.

    Places are two fixed-point numbers, 8 bits before the point and 8 behind it, for the row and the column of a texel;
    tiles repeat, so what overflows is gone rightly. The way is that from the first to the last pixel, evenly.
    """
    maps = np.ascontiguousarray(_texel_maps(raster).reshape(-1, 9).T, np.float32)[:, raster.ids]
    last = raster.lengths - 1
    columns, rows = raster.camera.rays
    at = columns[0][np.stack([raster.columns, raster.columns + last])]
    across, up, nearness = (maps[i] * at + (maps[i + 1] * rows[raster.lines, 0] + maps[i + 2]) for i in (0, 3, 6))
    nearness = np.maximum(nearness, 1e-6)
    level = (nearness.mean(0) <= BLURRED_FROM[:, None]).sum(0)
    begin, step = ((_fixed(up / nearness, last) << 16) + _fixed(across / nearness, last)).astype(np.uint32)
    return begin, step, raster.polygons.texture[raster.ids] * LEVELS + level


def _fixed(place: Floats, last: Rows) -> NDArray[np.int64]:
    """Fixed-point numbers of places at the first and the last pixel of runs, (2, R): the first, and the way of a pixel.

    A surface seen edge-on may reach to infinity inside one pixel.
    """
    first, final = np.clip(place, -1e8, 1e8).astype(np.float64) * SIZE
    return np.stack([np.floor(first), np.rint((final - first) / np.maximum(last, 1))]).astype(np.int64)


def _color_table(raster: Raster, light: Light) -> tuple[Image, int]:
    """RGBA of each texel value, uint8 (rows, SHADES, 4), and the number of ground polygons.

    Rows are the N polygons, then the ground ones again in shadow and once more in the dark.
    """
    polygons = raster.polygons
    ground = int((polygons.layer < Layer.SHADE).sum())  # they come first
    sky = polygons.layer == Layer.SKY
    slant = np.where(polygons.two_sided, 0.5, np.maximum(polygons.normal @ light.to_sun, 0))[:, None]
    ambient = (0.8 + 0.2 * np.abs(polygons.normal[:, 2]))[:, None] * light.ambient
    lit = np.where(sky[:, None], 1.0, ambient + slant * light.sun)
    dim = np.where(sky[:ground, None], 1.0, ambient[:ground])
    strength = np.concatenate([lit, dim, np.where(sky[:ground, None], 1.0, dim * 0.5)])
    haze = np.where(sky, 0.0, 1 - np.exp(-np.maximum(raster.depth, 0) / light.sight))
    rows = np.concatenate([np.arange(len(polygons)), np.arange(ground), np.arange(ground)])
    ramp = polygons.ramp[rows] * strength[:, None].astype(np.float32)
    ramp += (light.haze.astype(np.float32) - ramp) * haze[rows, None, None].astype(np.float32)
    return _ramp_table(ramp * np.float32(light.exposure)), ground


def _ramp_table(ramp: Reals) -> Image:
    """Spread ramps (rows, 3 stops, 3 RGB) 0..1 over the texel values: RGBA, uint8 (rows, SHADES, 4)."""
    place = np.linspace(0, 2, SHADES, dtype=np.float32)
    weights = np.maximum(1 - np.abs(place - np.arange(3, dtype=np.float32)[:, None]), 0)
    spread = np.swapaxes(ramp, 1, 2).reshape(-1, 3) @ weights
    levels = np.clip(spread * 255 + 0.5, 0, 255).astype(np.int32).reshape(-1, 3, SHADES)
    packed = levels[:, 0] | levels[:, 1] << 8 | levels[:, 2] << 16
    return np.asarray(packed.view(np.uint8).reshape(-1, SHADES, 4))

"""Colours of a raster: patterns, light and haze."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.simulation.polygons import Floats, Layer
from vidseg_ros.simulation.projection import Reals
from vidseg_ros.simulation.rasterizer import Image, Raster
from vidseg_ros.simulation.textures import LEVELS, SHADES, SIZE, atlas

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
    places = raster.spread((raster.ids + starts[raster.shade]) * SHADES)
    places += _texels(raster)
    rgba = np.take(table.ravel(), places).view(np.uint8).reshape(*places.shape, 4)
    return np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB))


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


def _texels(raster: Raster) -> Image:
    """Pattern at each pixel, uint8 (H, W), blurred to the size of the pixel on the surface."""
    across, up, nearness = raster.map_rays(_texel_maps(raster))
    cv2.max(nearness, 1e-6, dst=nearness)
    level = np.zeros(nearness.shape, np.uint8)
    for nearest in BLURRED_FROM:
        level += (nearness <= nearest).view(np.uint8)
    places = raster.spread(raster.polygons.texture.astype(np.int32)[raster.ids] * (LEVELS * SIZE * SIZE))
    places += np.multiply(level, SIZE * SIZE, dtype=np.int32)
    places += _wrapped(up, nearness) * SIZE
    places += _wrapped(across, nearness)
    return np.asarray(np.take(atlas().ravel(), places))


def _wrapped(place: Reals, nearness: Reals) -> NDArray[np.int32]:
    place /= nearness
    np.clip(place, -1e8, 1e8, out=place)  # a surface seen edge-on may reach to infinity inside one pixel
    texel = place.astype(np.int32)
    texel &= SIZE - 1
    return texel


def _color_table(raster: Raster, light: Light) -> tuple[NDArray[np.uint32], int]:
    """RGBA of each texel value, (rows, SHADES), and the number of ground polygons.

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


def _ramp_table(ramp: Reals) -> NDArray[np.uint32]:
    """Spread ramps (rows, 3 stops, 3 RGB) 0..1 over the texel values: RGBA, one uint32 each."""
    place = np.linspace(0, 2, SHADES, dtype=np.float32)
    weights = np.maximum(1 - np.abs(place - np.arange(3, dtype=np.float32)[:, None]), 0)
    spread = np.swapaxes(ramp, 1, 2).reshape(-1, 3) @ weights
    levels = np.clip(spread * 255 + 0.5, 0, 255).astype(np.int32).reshape(-1, 3, SHADES)
    return np.asarray(levels[:, 0] | levels[:, 1] << 8 | levels[:, 2] << 16).view(np.uint32)

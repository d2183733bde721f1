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
    ids = raster.ids
    places = _texels(raster).astype(np.intp)
    table, ground = _color_table(raster, light)
    places += ids * SHADES
    count, shaded = len(raster.polygons), (raster.shade > 0) & (ids < ground)
    starts = np.asarray([0, count, count + ground], np.intp) * SHADES  # of the rows lit, in shadow and in the dark
    places[shaded] += starts[raster.shade[shaded]]
    rgba = np.take(table.ravel(), places).view(np.uint8).reshape(*ids.shape, 4)
    return np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB))


def _texels(raster: Raster) -> Image:
    """Look the pattern up at each pixel, uint8 (H, W), blurred to the size of the pixel on the surface."""
    polygons, camera = raster.polygons, raster.camera
    maps = raster.placed.from_rays.copy()
    maps[:, :2] *= polygons.density[:, :, None]
    # With the map scaled so, third**-1.5 is the edge of a pixel in texels: the mean of its two sides on a surface
    # seen at a slant, the one growing with depth and the other with depth squared.
    fineness = np.maximum(np.sqrt(polygons.density.prod(1)), 1.0)
    scale = (camera.focal * np.sqrt(np.abs(raster.placed.facing())) / fineness) ** (2 / 3)
    maps *= scale[:, None, None]
    across, up, nearness = raster.map_rays(maps)
    nearness = np.maximum(nearness, np.float32(1e-6))
    level = np.clip(np.log2(nearness) * np.float32(-1.5) + np.float32(0.3), 0, LEVELS - 1).astype(np.int32)
    column, row = (  # a surface seen edge-on may reach to infinity inside one pixel
        np.clip(place / nearness, -1e8, 1e8).astype(np.int32) & (SIZE - 1) for place in (across, up)
    )
    tile = np.take(polygons.texture.astype(np.int32) * LEVELS, raster.ids) + level
    return np.asarray(np.take(atlas().ravel(), (tile * SIZE + row) * SIZE + column))


def _color_table(raster: Raster, light: Light) -> tuple[NDArray[np.uint32], int]:
    """RGBA of each texel value, (rows, SHADES), and the number of ground polygons.

    Rows are the N polygons, then the ground ones again in shadow and once more in the dark.
    """
    polygons = raster.polygons
    ground = int((polygons.layer < Layer.SHADE).sum())  # they come first
    sky = polygons.layer == Layer.SKY
    normal = np.cross(polygons.along, polygons.up)
    slant = np.where(polygons.two_sided, 0.5, np.maximum(normal @ light.to_sun, 0))[:, None]
    ambient = (0.8 + 0.2 * np.abs(normal[:, 2]))[:, None] * light.ambient
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
    levels = np.clip(spread * 255 + 0.5, 0, 255).astype(np.uint32).reshape(-1, 3, SHADES)
    return np.asarray(levels[:, 0] | levels[:, 1] << 8 | levels[:, 2] << 16 | np.uint32(255 << 24))

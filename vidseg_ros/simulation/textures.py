"""Tileable surface patterns of the street world, drawn once by rule, with blurred copies for the distance."""

from __future__ import annotations

from enum import IntEnum
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.simulation.seeding import seeded_rng

SIZE = 256
"""Edge of one tile in texels."""

LEVELS = 7
"""Copies of each tile: copy ``i`` is averaged over ``2**i`` texels."""

SHADES = 64
"""A texel is a place 0..SHADES-1 on the dark-to-light colour ramp of its surface."""

CELL = 64
"""Edge in texels of one window cell of a facade: window pitch wide, one storey high."""

Tile = NDArray[np.float32]


class Texture(IntEnum):
    """Row of each pattern in the atlas."""

    PLAIN = 0
    ASPHALT = 1
    PAVING = 2
    BRICK = 3
    SASH = 4
    PANES = 5
    SMALL = 6
    OFFICE = 7
    SHOP = 8
    ROOF = 9
    LEAVES = 10
    PICKETS = 11
    GLOSS = 12
    SKY = 13
    GRASS = 14


@cache
def atlas() -> NDArray[np.uint8]:
    """Every tile at every blur, uint8 (len(Texture), LEVELS, SIZE, SIZE), values 0..SHADES-1."""
    tiles = np.stack([np.stack(_blurred(_draw(texture), texture)) for texture in Texture])
    return (np.clip(tiles, 0, 1) * (SHADES - 1) + 0.5).astype(np.uint8)


def _blurred(tile: Tile, texture: Texture) -> list[Tile]:
    if texture is Texture.SKY:  # the gradient must not wrap, and the sky is never far enough to need it
        return [tile] * LEVELS
    sizes = [SIZE >> level for level in range(LEVELS)]
    small = [cv2.resize(tile, (size, size), interpolation=cv2.INTER_AREA) for size in sizes]
    return [np.asarray(np.kron(s, np.ones((SIZE // len(s),) * 2)), np.float32) for s in small]


def _draw(texture: Texture) -> Tile:
    rng = seeded_rng(texture)
    facades = {
        Texture.SASH: ((12, 18, 28, 36), 2),
        Texture.PANES: ((6, 16, 52, 34), 3),
        Texture.SMALL: ((20, 22, 24, 24), 1),
        Texture.OFFICE: ((2, 14, 60, 44), 5),
    }
    if texture in facades:
        return _facade(rng, *facades[texture])
    return {
        Texture.PLAIN: _plain,
        Texture.ASPHALT: _asphalt,
        Texture.PAVING: _paving,
        Texture.BRICK: _brick,
        Texture.SHOP: _shop,
        Texture.ROOF: _roof,
        Texture.LEAVES: _leaves,
        Texture.PICKETS: _pickets,
        Texture.GLOSS: _gloss,
        Texture.SKY: _sky,
        Texture.GRASS: _grass,
    }[texture](rng)


def _noise(rng: np.random.Generator, steepness: float) -> Tile:
    """Wrapping noise of mean 0 and deviation 1; its amplitude falls with frequency**-steepness."""
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((SIZE, SIZE))) * frequency**-steepness
    field = np.fft.irfft2(spectrum, (SIZE, SIZE))
    return np.asarray(field / field.std(), np.float32)


def _plain(rng: np.random.Generator) -> Tile:
    return 0.5 + 0.06 * _noise(rng, 0.8)


def _gloss(rng: np.random.Generator) -> Tile:
    return 0.5 + 0.05 * _noise(rng, 1.8)


def _asphalt(rng: np.random.Generator) -> Tile:
    return 0.5 + 0.10 * _noise(rng, 0.2) + 0.06 * _noise(rng, 0.9)


def _grass(rng: np.random.Generator) -> Tile:
    return 0.5 + 0.14 * _noise(rng, 0.5) + 0.08 * _noise(rng, 1.2)


def _leaves(rng: np.random.Generator) -> Tile:
    return 0.45 + 0.17 * _noise(rng, 0.7) + 0.14 * _noise(rng, 1.3)


def _paving(rng: np.random.Generator) -> Tile:
    slabs = np.kron(rng.normal(0.55, 0.06, (8, 8)), np.ones((32, 32)))
    slabs[::32] -= 0.22
    slabs[:, ::32] -= 0.22
    return np.asarray(slabs + 0.05 * _noise(rng, 0.6), np.float32)


def _brick(rng: np.random.Generator) -> Tile:
    rows = np.kron(rng.normal(0.48, 0.09, (32, 16)), np.ones((8, 16)))
    for row in range(8, SIZE, 16):
        rows[row : row + 8] = np.roll(rows[row : row + 8], 8, axis=1)
    rows[::8] += 0.16
    return np.asarray(rows + 0.05 * _noise(rng, 0.9), np.float32)


def _roof(rng: np.random.Generator) -> Tile:
    tiles = np.kron(rng.normal(0.5, 0.07, (32, 32)), np.ones((8, 8)))
    tiles[::8] -= 0.25
    return np.asarray(tiles + 0.06 * _noise(rng, 1.0), np.float32)


def _pickets(rng: np.random.Generator) -> Tile:
    boards = np.kron(rng.normal(0.55, 0.08, (1, 16)), np.ones((SIZE, 16)))
    boards[:, ::16] = 0.05
    boards[:, 1::16] = 0.12
    return np.asarray(boards + 0.05 * _noise(rng, 0.8), np.float32)


def _facade(rng: np.random.Generator, window_box: tuple[int, int, int, int], mullions: int) -> Tile:
    """Wall of 4 x 4 windows ``(left, low, width, height)``; row 0 is at the foot of a storey."""
    left, low, width, height = window_box
    tile = 0.56 + 0.05 * _noise(rng, 0.7) + 0.04 * _noise(rng, 1.5)
    for cell in range(16):
        y, x = CELL * (cell // 4), CELL * (cell % 4)
        wall = tile[y : y + CELL, x : x + CELL]
        wall[max(low - 4, 0) : low, max(left - 3, 0) : left + width + 3] = 0.9
        window = wall[low : low + height, left : left + width]
        window[:] = rng.uniform(0.02, 0.2) + np.linspace(0, 0.12, height)[:, None]
        if rng.random() < 0.3:  # a blind
            window[int(height * rng.uniform(0.4, 0.9)) :] = rng.uniform(0.4, 0.75)
        _frame(window, mullions)
    return tile


def _frame(window: Tile, mullions: int) -> None:
    window[:2] = window[-2:] = 0.85
    for column in np.linspace(0, window.shape[1] - 2, mullions + 1).astype(int):
        window[:, column : column + 2] = 0.85


def _shop(rng: np.random.Generator) -> Tile:
    """Shop fronts, SIZE texels to a storey: plinth, glass, signboard."""
    tile = 0.4 + 0.05 * _noise(rng, 1.0)
    for x in range(0, SIZE, SIZE // 2):
        glass = tile[24:180, x + 6 : x + SIZE // 2 - 6]
        glass[:] = np.linspace(0.06, 0.2, 156)[:, None] + 0.05 * _noise(rng, 1.6)[:156, : glass.shape[1]]
        for _ in range(6):  # goods behind the glass
            gx, gy = rng.integers(0, 90), rng.integers(0, 70)
            glass[gy : gy + rng.integers(10, 60), gx : gx + rng.integers(8, 26)] = rng.uniform(0.1, 0.55)
        tile[24:180, x + 70 : x + 75] = 0.7
        tile[190:236, x + 8 : x + SIZE // 2 - 8] = rng.uniform(0.75, 0.95)
        for letter in range(x + 24, x + 96, 10):
            tile[204:224, letter : letter + int(rng.integers(3, 8))] = 0.15
    return tile


def _sky(rng: np.random.Generator) -> Tile:
    """Clouds over a gradient; row 0 is the horizon and light, the last row is the zenith."""
    gradient = np.linspace(0.78, 0.12, SIZE, dtype=np.float32)[:, None]
    clouds = np.clip(_noise(rng, 1.7) * 0.6 + 0.1, 0, 1.2)
    tile = gradient + 0.42 * clouds * np.linspace(0.4, 1.0, SIZE)[:, None] + 0.012 * _noise(rng, 0.0)
    return np.asarray(tile, np.float32)

"""Whether an engine of a lower precision says what float32 says, on this machine."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.engines.base import Engine

LEAST = 50.0  # percent of equal labels: rounding changes a few, broken arithmetic most
STEPS, BLOCK = 2, 8  # from a fresh start and with a past; pixels of one colour, as a picture has areas


def difference(engine: Engine, exact: Engine) -> str:
    """What is wrong with ``engine`` where it should do as ``exact``, or ""."""
    frames = blocks(engine.input_size)
    mine: list[Any] = [None]
    theirs: list[Any] = [None]
    for _ in range(STEPS):
        flow = np.zeros((1, 2, *frames.shape[1:3]), np.float32) if engine.flow else None
        given, mine = engine.step(frames, mine, flow=flow)
        wanted, theirs = exact.step(frames, theirs, flow=flow)
        if not all(np.isfinite(_numbers(part)).all() for part in mine[0]):
            return "its memory is not finite"
        agreement = 100 * float(np.mean(given.labels == wanted.labels))
        if agreement < LEAST:
            return f"{agreement:.0f} % of the labels are those of f32"
    return ""


def blocks(size: tuple[int, int]) -> NDArray[np.uint8]:
    """A frame of (width, height) ``size`` in areas of random colours, uint8 (1, H, W, 3)."""
    width, height = size
    colors = np.random.default_rng(0).integers(0, 256, (1, height // BLOCK + 1, width // BLOCK + 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(colors.repeat(BLOCK, 1).repeat(BLOCK, 2)[:, :height, :width])


def _numbers(part: Any) -> NDArray[Any]:
    """A tensor of a state, whatever runtime it belongs to."""
    return np.asarray(part.float().cpu() if hasattr(part, "cpu") else part, np.float32)

"""Measure how fast the street world renders: ``python -m tools.rendering``. Writes docs/rendering.json.

By the clock on the wall, so nothing else may run: one process, then two at once, as training draws its clips. Each has
one thread.
"""

from __future__ import annotations

import json
import time
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from threading import Barrier

import cv2

from vidseg_ros.files import write_atomic
from vidseg_ros.simulation.street_world import StreetWorld, StreetWorldConfig

RENDERING = Path(__file__).resolve().parents[1] / "docs" / "rendering.json"
WIDTH, HEIGHT = 480, 360
RUNS, FRAMES = 15, 20
PROCESSES = (1, 2)


def pace(world: StreetWorld, first: int) -> float:
    """Frames a second, over FRAMES of them."""
    start = time.perf_counter()
    for index in range(first, first + FRAMES):
        world.frame(index).rgb  # noqa: B018 - painted when asked for
    return FRAMES / (time.perf_counter() - start)


def _measure(size: tuple[int, int], start: Barrier) -> float:
    """The median pace of RUNS in this process, begun when the others are ready."""
    cv2.setNumThreads(1)
    world = StreetWorld(StreetWorldConfig(*size))
    world.frame(0).rgb  # noqa: B018
    start.wait()
    return median(pace(world, FRAMES * run) for run in range(RUNS))


def together(processes: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> float:
    """Frames a second of so many processes at once."""
    context = get_context("spawn")
    with context.Manager() as manager, context.Pool(processes) as pool:
        start = manager.Barrier(processes)
        return sum(pool.starmap(_measure, [(size, start)] * processes, chunksize=1))


def main() -> None:
    """Measure frames a second by the number of processes."""
    found = {"size": f"{WIDTH}x{HEIGHT}", "frames_per_second": {count: round(together(count)) for count in PROCESSES}}
    write_atomic(RENDERING, (json.dumps(found) + "\n").encode())


if __name__ == "__main__":
    main()

"""Measure how fast the street world renders: ``python -m tools.rendering``. Writes docs/rendering.json."""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import median

import cv2

from vidseg_ros.simulation.street_world import StreetWorld, StreetWorldConfig

RENDERING = Path(__file__).resolve().parents[1] / "docs" / "rendering.json"
WIDTH, HEIGHT = 480, 360
RUNS, FRAMES = 10, 20


def seconds(world: StreetWorld, first: int) -> float:
    """CPU time of a frame, s, over FRAMES of them."""
    start = time.process_time()
    for index in range(first, first + FRAMES):
        world.frame(index).rgb  # noqa: B018 - painted when asked for
    return (time.process_time() - start) / FRAMES


def main() -> None:
    """Measure frames a second of CPU time on one thread: the median of RUNS."""
    cv2.setNumThreads(1)
    world = StreetWorld(StreetWorldConfig(width=WIDTH, height=HEIGHT))
    pace = 1 / median(seconds(world, FRAMES * run) for run in range(RUNS))
    RENDERING.write_text(json.dumps({"size": f"{WIDTH}x{HEIGHT}", "frames_per_second": round(pace)}) + "\n")


if __name__ == "__main__":
    main()

"""Measure what docs/carla.md states of driving by labels, into docs/drive_figures.json.

    python -m tools.drive_figures

Streets that nothing was chosen on: neither the driver's settings nor the default street.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
FIGURES = DOCS / "drive_figures.json"
SEEDS = range(100, 110)
CAMERA = ("--size", "320x240", "--fps", 8, "--seconds", 20)

Figures = dict[str, Any]


def drive(labels: str, seed: int) -> Figures:
    """Figures of one drive."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        words = ("--closed-loop", "--labels", labels, "--seed", seed, *CAMERA, "--json", file)
        subprocess.run([sys.executable, "-m", "vidseg_ros", "simulate", *map(str, words)], check=True)
        figures: Figures = json.loads(file.read_text())
        return figures


def row(labels: str, drives: Sequence[Figures]) -> str:
    """A line of the table: sums and means over streets."""
    count = len(drives)
    kept = sum(figures["in_lane"] == 100 and figures["collisions"] == 0 for figures in drives)
    mean = {key: sum(figures[key] for figures in drives) / count for key in ("completed_m", "in_lane", "cons")}
    late = sum(figures["cross_track_m"]["p95"] for figures in drives) / count
    hit = sum(figures["collisions"] for figures in drives)
    cells = (f"{kept} of {count}", f"{mean['in_lane']:.0f} %", f"{late:.2f}", hit, f"{mean['completed_m']:.0f}")
    return f"| {labels} | {' | '.join(map(str, cells))} | {mean['cons']:.1f} |"


def main() -> None:
    """Drive, and print the table."""
    figures = {kind: [drive(kind, seed) for seed in SEEDS] for kind in ("truth", "node", "delayed", "flicker")}
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    print("| labels | without a fault | in lane | cross-track p95, m | collisions | way, m | Cons |")
    print("| --- |" + " ---: |" * 6)
    for labels, drives in figures.items():
        print(row(labels, drives))


if __name__ == "__main__":
    main()

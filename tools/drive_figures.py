"""Measure what docs/carla.md states of driving by labels, into drive_figures.json: ``python docs/drive_figures.py``.

Streets that nothing was chosen on: neither the driver's settings nor the default street.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
FIGURES = DOCS / "drive_figures.json"
SEEDS = range(100, 110)
CAMERA = ("--size", "320x240", "--fps", 8, "--seconds", 20)


def drive(labels, seed):
    """Return the figures of one drive."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        command = ["simulate", "--closed-loop", "--labels", labels, "--seed", seed, *CAMERA, "--json", file]
        subprocess.run([sys.executable, "-m", "vidseg_ros", *map(str, command)], check=True)
        return json.loads(file.read_text())


def row(labels, drives):
    """Return a line of the table: sums and means over streets."""
    count = len(drives)
    kept = sum(figures["in_lane"] == 100 and figures["collisions"] == 0 for figures in drives)
    mean = {key: sum(figures[key] for figures in drives) / count for key in ("completed_m", "in_lane", "cons")}
    late = sum(figures["cross_track_m"]["p95"] for figures in drives) / count
    hit = sum(figures["collisions"] for figures in drives)
    cells = (f"{kept} of {count}", f"{mean['in_lane']:.0f} %", f"{late:.2f}", hit, f"{mean['completed_m']:.0f}")
    return f"| {labels} | {' | '.join(map(str, cells))} | {mean['cons']:.1f} |"


def main():
    """Drive, and print the table."""
    figures = {kind: [drive(kind, seed) for seed in SEEDS] for kind in ("truth", "node", "delayed", "flicker")}
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    print("| labels | without a fault | in lane | cross-track p95, m | collisions | way, m | Cons |")
    print("| --- |" + " ---: |" * 6)
    for labels, drives in figures.items():
        print(row(labels, drives))


if __name__ == "__main__":
    main()

"""Measure what docs/driving.md states, into docs/drive_figures.json: driving by labels, and what consistency is worth.

    python -m tools.drive_figures [MINUTES]     # resumable; stops after so many, and writes what is there
    python -m tools.drive_figures page          # docs/driving.md and driving.png from drive_figures.json

Each drive stands alone in build/driving, so that one that was interrupted costs no more than itself; so do the networks
of the study, which ``tools.drive_networks`` trains. One core takes about four hours. Held-out streets: the networks
drew theirs by lot from 2**31, the driver was set on seeds 0 to 41.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from vidseg_ros.closed_loop import (
    CHECKPOINT,
    FlickeringLabels,
    LabelSource,
    NetworkLabels,
    TrueLabels,
    drive_by_labels,
    street,
)
from vidseg_ros.engines import Engine, open_model
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.files import write_atomic
from vidseg_ros.simulation.street_world import StreetWorldConfig

if __name__ == "__main__":  # as ``python tools/drive_figures.py`` too
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools import driving_page
from tools.drive_networks import WORK, trained

ROOT = Path(__file__).resolve().parents[1]
FIGURES, CACHE = ROOT / "docs" / "drive_figures.json", WORK
SIZE, LONG, SHORT = (480, 360), 20.0, 10.0  # pixels and seconds
SEEDS, SEALED = range(100, 110), range(200, 220)
CURVE_SEEDS, FEW_SEEDS = range(100, 106), range(100, 105)
CONDITIONS = {  # weather, and the deviation of the exposure from frame to frame; None: that of a drive
    "clear": ("drawn", None),
    "exposure flicker": ("drawn", 0.25),
    "dusk": ("dusk", None),
    "rain": ("rain", None),
}
FAST_CONDITIONS = ["clear"]  # that are driven at 15 Hz, too
FAMILIES = {  # which of drive_networks.FAMILIES, and the memory of the engine
    "single frame": ("single frame", "off"),
    "temporal loss": ("temporal loss", "off"),
    "ConvLSTM": ("ConvLSTM", "auto"),
    "STGRU": ("STGRU", "auto"),
    "flow memory": ("single frame", "flow"),
}
MEMORIES = {  # the same, and the hysteresis in logits
    name + words: (*family, hysteresis)
    for name, family in FAMILIES.items()
    for words, hysteresis in (("", 0.0), (driving_page.HYSTERESIS, 0.5))
}
TOLD_APART = {  # the memory from the training: the same networks, with their memory and without
    name + words: (name, memory, 0.0)
    for name in ("ConvLSTM", "STGRU")
    for words, memory in ((driving_page.OFF, "off"), ("", "auto"))
}
FOREIGN = {"single frame, CamVid only": "espnet_camvid", "ConvLSTM, CamVid only": "espnet_l1b_camvid"}
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3)
DELAYS = (0.0, 0.125, 0.25, 0.375, 0.5)


@dataclass(frozen=True)
class Run:
    """One drive: what for, by which labels, and where."""

    part: str
    labels: str
    seed: int
    condition: str = "clear"
    fps: float = 8.0
    seconds: float = SHORT

    @property
    def name(self) -> str:
        """Name of the file with its figures."""
        words = (self.part, self.labels, self.condition, f"{self.fps:g}", self.seed)
        return "-".join(map(str, words)).replace(" ", "_").replace(",", "") + ".json"

    @property
    def world(self) -> StreetWorldConfig:
        """The street."""
        weather, flicker = CONDITIONS[self.condition]
        world = street(self.seed, SIZE, self.fps, weather)
        return world if flicker is None else replace(world, flicker=flicker)


def runs() -> Iterator[Run]:
    """All drives; those of the study a condition after the other, so that what is measured so far is paired."""
    yield from (Run("streets", labels, seed, seconds=LONG) for labels in ("truth", CHECKPOINT) for seed in SEEDS)
    yield from (Run("curves", f"flicker {share}", seed) for seed in CURVE_SEEDS for share in SHARES)
    yield from (Run("curves", f"delay {delay}", seed) for seed in CURVE_SEEDS for delay in DELAYS)
    yield from (Run("sealed", CHECKPOINT, seed, seconds=LONG) for seed in SEALED)
    yield from (Run("foreign", labels, seed) for seed in FEW_SEEDS for labels in FOREIGN)
    for fps, seeds, conditions in ((8.0, SEEDS, list(CONDITIONS)), (15.0, FEW_SEEDS, FAST_CONDITIONS)):
        for condition in conditions:
            yield from (Run("study", labels, seed, condition, fps) for seed in seeds for labels in MEMORIES)
    for condition, seed, labels in itertools.product(CONDITIONS, SEEDS, TOLD_APART):
        yield Run("memory", labels, seed, condition)


def source(run: Run) -> LabelSource:
    """The labels of a drive."""
    kind, _, amount = run.labels.partition(" ")
    if run.labels == "truth":
        return TrueLabels()
    if run.part == "curves":
        return FlickeringLabels(run.seed, float(amount)) if kind == "flicker" else TrueLabels(float(amount))
    return NetworkLabels(engine_of(run.labels))


@cache  # to open one takes as long as a drive
def engine_of(labels: str) -> Engine:
    """The network of some labels."""
    checkpoint, config = FOREIGN.get(labels, CHECKPOINT), EngineConfig(device="cpu", threads=1)
    if families := MEMORIES.get(labels) or TOLD_APART.get(labels):
        family, memory, hysteresis = families
        checkpoint, config = str(trained(family)), replace(config, memory=memory, hysteresis=hysteresis)
    return open_model(checkpoint, config, print)


def drive(run: Run) -> dict[str, Any]:
    """Figures of a drive."""
    figures = drive_by_labels(source(run), run.seconds, run.world)
    figures.pop("per_class")
    return asdict(run) | figures


def measure(minutes: float) -> list[dict[str, Any]]:
    """Drive what has not been driven, for so long; returns all that has."""
    end = time.monotonic() + 60 * minutes
    CACHE.mkdir(parents=True, exist_ok=True)
    for run in runs():
        file = CACHE / run.name
        if not file.is_file() and time.monotonic() < end:
            write_atomic(file, json.dumps(drive(run)).encode())
            print(run.name, flush=True)
    return [json.loads(file.read_text()) for run in runs() if (file := CACHE / run.name).is_file()]


def main(words: list[str]) -> None:
    """Drive, and write figures and page."""
    if words != ["page"]:
        FIGURES.write_text(json.dumps(measure(float(words[0]) if words else 1e9), indent=0) + "\n")
    driving_page.write(json.loads(FIGURES.read_text()))


if __name__ == "__main__":
    main(sys.argv[1:])

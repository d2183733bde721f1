"""Measure what memories bring where frames are bad: ``python -m tools.disturbances``. Writes docs/disturbances.json.

CamVid val (found through VIDSEG_DATA) with OpenVINO on the CPU, hysteresis 0: each shipped network with its memory off,
with its own and along the flow, by what ails the frames (``vidseg_ros/data/disturbances.py``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tools.memories import VAL, cut_by, kinds
from tools.networks import QUALITY, SHIPPED
from tools.tables import table
from vidseg_ros.data.clip import Clip
from vidseg_ros.data.datasets import open_dataset
from vidseg_ros.data.disturbances import DISTURBANCES
from vidseg_ros.data.stored import StoredFrame, sequences
from vidseg_ros.engines import Engine, open_model
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.evaluation.evaluator import evaluate
from vidseg_ros.files import write_atomic
from vidseg_ros.labels import CAMVID

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "disturbances.json"
EVERY = {"noise": 1, "exposure": 1, "blur": 4, "cover": 4}  # so manieth frame is disturbed
CLEAN = "none"
Report = dict[str, Any]


@dataclass(frozen=True, eq=False)
class BadFrame(StoredFrame):
    """A frame on disk that is disturbed when it is read, always alike."""

    kind: str = CLEAN
    number: int = 0

    def read(self) -> Clip:
        """Read the frame, and disturb it where its turn has come."""
        clip = super().read()
        if self.kind != CLEAN and self.number % EVERY[self.kind] == EVERY[self.kind] - 1:
            clip.frames[0] = DISTURBANCES[self.kind](clip.frames[0], np.random.default_rng(self.number))
        return clip


def bad(frames: Sequence[StoredFrame], kind: str) -> list[StoredFrame]:
    """The frames, disturbed."""
    return [BadFrame(**vars(frame), kind=kind, number=number) for number, frame in enumerate(frames)]


def judge(engine: Engine, kind: str) -> Report:
    """Figures of an engine on CamVid val with frames of a kind."""
    return evaluate(engine, sequences(bad(open_dataset(VAL, CAMVID), kind)))


def measure() -> dict[str, Report]:
    """Figures by network, disturbance and memory."""
    return {
        f"{name}, {kind}, {memory}": judge(
            open_model(name, EngineConfig("openvino", "cpu", memory=memory, hysteresis=0.0), print), kind
        )
        for name in SHIPPED
        for kind in (CLEAN, *DISTURBANCES)
        for memory in kinds(name)
    }


def tables() -> dict[str, str]:
    """The Markdown of what was measured, by its place in results.in.md."""
    if not FIGURES.is_file():
        return {"disturbances": "not measured yet"}
    return {"disturbances": compare(json.loads(FIGURES.read_text()))}


def compare(figures: dict[str, Report]) -> str:
    """A row a network, disturbance and memory, with the inconsistency that it cuts against the memory off."""
    rows = []
    for key, report in figures.items():
        name, kind, memory = key.split(", ")
        off = figures[f"{name}, {kind}, off"]
        cut = "" if memory == "off" else f"{cut_by(off, report):.0f} %"
        rows.append([name, kind, memory, *(f"{report[value]:.2f}" for value in QUALITY.values()), cut])
    return table(["network", "frames", "memory", *QUALITY, "inconsistency cut by"], rows)


if __name__ == "__main__":
    torch.set_num_threads(1)
    write_atomic(FIGURES, (json.dumps(measure(), indent=1) + "\n").encode())

"""Measure what a ConvLSTM remembers, and why so little: ``python -m tools.remembering``. Writes docs/remembering.json.

On CamVid val (found through VIDSEG_DATA), with PyTorch, hysteresis 0. ``averages``: the shipped single-frame network
with a cell that was never trained, so that it averages what stands at a position over time: by position, by how much
it keeps, at rest or along the optical flow. ``gates``: the mean of the forget gate of cells as they begin, as shipped
and as ``tools.experiments`` trained them, on frames as they are and on bad ones. Name one to measure only that.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn

from tools.comparisons import REMEMBERING
from tools.disturbances import CLEAN, judge
from tools.experiments import checkpoint_of
from tools.memories import cut_by
from tools.networks import QUALITY
from tools.tables import table
from vidseg_ros.checkpoints.checkpoint import Checkpoint, load_checkpoint
from vidseg_ros.data.disturbances import DISTURBANCES
from vidseg_ros.engines import TorchEngine
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.files import write_atomic
from vidseg_ros.networks.config import CellConfig
from vidseg_ros.networks.convlstm import GATES, ConvLSTM
from vidseg_ros.networks.memory import State
from vidseg_ros.networks.registry import build
from vidseg_ros.training.transfer import transfer

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "remembering.json"
STATIC, SHIPPED = "espnet_camvid", "espnet_l1b_camvid"
PLACES = {"L1b": (45, 60), "L1c": (90, 120), "L1d": (180, 240)}  # of ESPNet at 480x360, and the size of their features
KEPT = (0.27, 0.5)
LEARNED = "learned gate, bad frames, amid streams"  # along the flow
TRAINED = (LEARNED, "single, same clips", "L1b 3x3", *REMEMBERING)
Report = dict[str, Any]


def averaging(position: str, keep: float, warped: bool) -> Checkpoint:
    """The single-frame network with a cell that averages over time, each frame the share ``keep`` of what was."""
    start, cell = load_checkpoint(STATIC), CellConfig(position, kernel=5, state_size=PLACES[position], warped=warped)
    network = build(replace(start.network.config, cell=cell))
    transfer(start, network, start.labels)
    assert isinstance(network.cell, ConvLSTM)
    make_constant(network.cell, keep)
    return replace(start, network=network.eval())


@torch.no_grad()
def make_constant(cell: ConvLSTM, keep: float) -> None:
    """Let a cell that begins as a convolution keep the share ``keep``, whatever it sees."""
    bias = cell.gates.convolution.bias
    assert bias is not None
    forget = bias.view(cell.gates.shape).select(cell.gates.gate_dim, 1)
    scale = (1 - keep) / (1 - torch.sigmoid(forget.mean()))
    forget.fill_(torch.logit(torch.tensor(keep)))
    cell.gates.of_gate(GATES - 1).mul_(scale)
    for gate in range(GATES - 1):
        cell.gates.of_gate(gate).zero_()


def averages() -> dict[str, Report]:
    """Figures by position, share that is kept, and motion."""
    engine = EngineConfig("torch", "cpu", memory="off", hysteresis=0.0)
    found = {"none, 0, ": judge(TorchEngine(load_checkpoint(STATIC), engine), CLEAN)}
    for position in PLACES:
        for keep in KEPT:
            for words, warped in (("at rest", False), ("along the flow", True)):
                found[f"{position}, {keep}, {words}"] = remembered(averaging(position, keep, warped), CLEAN)
    return found


def remembered(checkpoint: Checkpoint, kind: str, memory: str = "auto") -> Report:
    """Figures of a checkpoint on frames of a kind, with the mean of its forget gate."""
    gates: list[float] = []
    if checkpoint.network.cell is not None:
        checkpoint.network.cell.register_forward_pre_hook(lambda cell, given: gates.extend(forget(cell, *given)))
    report = judge(TorchEngine(checkpoint, EngineConfig("torch", "cpu", memory=memory, hysteresis=0.0)), kind)
    return report | ({"forget": round(mean(gates), 3)} if gates else {})


def forget(cell: nn.Module, x: Tensor, state: State | None = None) -> list[float]:
    """The mean of the forget gate of a step, if it has a past."""
    assert isinstance(cell, ConvLSTM)
    if state is None:
        return []
    hidden, old = state
    gate = cell.gates(cell.norm(x) / cell.input_unit, hidden)[1]
    return [float(torch.sigmoid(gate + cell.peephole[1][:, None, None] * old).mean())]


def gates() -> dict[str, Report]:
    """Figures of cells by name, frames and memory."""
    cells = {"as it begins": averaging("L1b", KEPT[0], warped=False), SHIPPED: load_checkpoint(SHIPPED)}
    cells |= {name: load_checkpoint(checkpoint_of(name)) for name in TRAINED if checkpoint_of(name).is_file()}
    return {
        f"{name}; {kind}; {memory}": remembered(checkpoint, kind, memory)
        for name, checkpoint in cells.items()
        for kind in (CLEAN, *DISTURBANCES)
        for memory in (("off", "auto") if checkpoint.network.cell or checkpoint.network.propagation else ("off",))
    }


PARTS = {"averages": averages, "gates": gates}


def tables() -> dict[str, str]:
    """The Markdown of what was measured, by its place in results.in.md."""
    figures = json.loads(FIGURES.read_text()) if FIGURES.is_file() else {}
    built = {"averages": "not measured yet", "forgetting": "not measured yet"}
    if "averages" in figures:
        rows = [
            [*key.split(", "), *(f"{report[value]:.2f}" for value in QUALITY.values())]
            for key, report in figures["averages"].items()
        ]
        built["averages"] = table(["position", "kept", "moved", *QUALITY], rows)
    if "gates" in figures:
        built["forgetting"] = forgetting(figures["gates"])
    return built


def forgetting(figures: dict[str, Report]) -> str:
    """A row a cell: its forget gate, and by kind of frames what its memory brings."""
    kinds, rows = (CLEAN, *DISTURBANCES), []
    for name in dict.fromkeys(key.split("; ")[0] for key in figures):
        row = [name, ""]
        for kind in kinds:
            off, on = (figures.get(f"{name}; {kind}; {memory}") for memory in ("off", "auto"))
            assert off
            shown = f"{off['miou']:.1f} / {off['cons']:.2f}"
            if on:
                row[1] = f"{on['forget']:.2f}" if "forget" in on else ""
                shown += f" → {on['miou']:.1f} / {on['cons']:.2f} ({cut_by(off, on):.0f} %)"
            row.append(shown)
        rows.append(row)
    return table(["cell", "forget gate", *kinds], rows)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for part in sys.argv[1:] or PARTS:
        known = json.loads(FIGURES.read_text()) if FIGURES.is_file() else {}
        write_atomic(FIGURES, (json.dumps(known | {part: PARTS[part]()}, indent=1) + "\n").encode())

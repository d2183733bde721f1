"""Measure what memories bring, one thing changed at a time: ``python -m tools.memories``. Writes docs/memories.json.

On CamVid val (found through VIDSEG_DATA), with OpenVINO on the CPU: each shipped network with its memory off, with its
own and along the flow, at equal hysteresis; every frame, every second and every fourth; the default with other gates
along the flow; from 1 to 5 frames; and both ways through the video (PyTorch). Name ``quality``, ``strides``, ``gates``,
``window`` or ``both_ways`` to measure only that.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidseg_ros import open_stream
from vidseg_ros.checkpoints.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from vidseg_ros.data.datasets import open_dataset
from vidseg_ros.evaluation.scores import Scores
from vidseg_ros.networks.flow_memory import FlowMemoryConfig

if __name__ == "__main__":  # as ``python tools/memories.py`` too
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.networks import QUALITY, SHIPPED, evaluate
from tools.tables import table

DOCS = Path(__file__).resolve().parents[1] / "docs"
MEMORIES = DOCS / "memories.json"
VAL = "camvid/val"
HYSTERESES = (0, 0.5)
STRIDES = (1, 2, 4)
PLAIN = (SHIPPED[0], DEFAULT_CHECKPOINT)  # networks without a memory of their own
LONGEST = 5  # frames, as in GRFP's table 2
NEVER_TORN = 1e9  # of ``FlowMemoryConfig.tear``
GATES = (
    FlowMemoryConfig(gain=0.7, tear=NEVER_TORN),
    FlowMemoryConfig(),
    FlowMemoryConfig(gain=0.8, decay=0.03, tear=NEVER_TORN),
    FlowMemoryConfig(gain=0.8, decay=0.0, tear=NEVER_TORN),
    FlowMemoryConfig(gain=0.9, decay=0.03, tear=NEVER_TORN),
)
Figures = dict[str, Any]


def kinds(name: str) -> tuple[str, ...]:
    """The memories that a network can be run with."""
    own = load_checkpoint(name).network.state_names
    return ("off", *(["network"] if own else []), "flow")


def quality(out: Path) -> Figures:
    """Figures by network, hysteresis and memory."""
    return {
        f"{name}, {hysteresis}, {memory}": evaluate(
            name, "--memory", memory, "--hysteresis", hysteresis, "--no-temporal", out=out
        )
        for name in SHIPPED
        for hysteresis in HYSTERESES
        for memory in kinds(name)
    }


def strides(out: Path) -> Figures:
    """Figures by network, stride and memory, without hysteresis: slow and fast motion."""
    plain = ("--hysteresis", 0, "--no-temporal")
    return {
        f"{name}, {stride}, {memory}": evaluate(name, "--memory", memory, "--stride", stride, *plain, out=out)
        for name in SHIPPED
        for stride in STRIDES
        for memory in kinds(name)
    }


def gates(out: Path) -> Figures:
    """Figures of the default, without hysteresis, by gain, decay and tear of its memory, and by stride."""
    checkpoint, found = load_checkpoint(DEFAULT_CHECKPOINT), {}
    for gate in GATES:
        file = out.with_name("gated.safetensors")
        replace(checkpoint, inference=replace(checkpoint.inference, flow_memory=gate)).save(file)
        tear = "none" if gate.tear == NEVER_TORN else gate.tear
        for stride in (STRIDES[0], STRIDES[-1]):
            plain = ("--memory", "flow", "--hysteresis", 0, "--stride", stride, "--no-temporal")
            report = evaluate(file, *plain, out=out) | {"checkpoint": DEFAULT_CHECKPOINT}
            found[f"{gate.gain}, {gate.decay}, {tear}, {stride}"] = report
    return found


def both_ways(out: Path) -> Figures:
    """Figures of the memory along the flow, forward and backward through the video."""
    ways = ("--bidirectional", "--engine", "torch", "--hysteresis", 0, "--no-temporal")
    return {name: evaluate(name, "--memory", "flow", *ways, out=out) for name in PLAIN}


def window(out: Path) -> Figures:
    """Figures by network where the memory along the flow begins afresh, so many frames before each that is judged."""
    return {f"{name}, {count}": _windowed(name, count) for name in PLAIN for count in range(1, LONGEST + 1)}


def _windowed(name: str, count: int) -> Figures:
    stream = open_stream(name, engine="openvino", device="cpu", hysteresis=0.0, memory="flow")
    frames = open_dataset(VAL, stream.engine.labels)
    clips, scores = [frame.read() for frame in frames], Scores(stream.engine.labels)
    scores.begin()
    for last in range(len(frames)):
        stream.reset()
        labels = np.empty(0, np.uint8)
        for number in range(max(last - count + 1, 0), last + 1):
            labels = stream.step(clips[number].frames[0], frames[number].stamp)
        scores.add(labels, clips[last].labels[0])
    return scores.report()


PARTS = {"quality": quality, "strides": strides, "gates": gates, "window": window, "both_ways": both_ways}


def rows(figures: Figures, names: dict[str, str]) -> list[list[str]]:
    """Rows of a table: the parts of each key, the figures of ``names``, and the IoU of poles."""
    return [
        [*key.split(", "), *(f"{report[value]:.2f}" for value in names.values()), f"{report['per_class']['pole']:.1f}"]
        for key, report in figures.items()
    ]


def cut_by(off: Figures, on: Figures) -> float:
    """Percent of the inconsistency that a memory takes away."""
    return float(100 * (1 - (100 - on["cons"]) / (100 - off["cons"])))


def gain(off: Figures, on: Figures) -> str:
    """In a line, what a memory brings over the same network without it."""
    pole = on["per_class"]["pole"] - off["per_class"]["pole"]
    return (
        f"inconsistency {100 - off['cons']:.2f} -> {100 - on['cons']:.2f} (cut by {cut_by(off, on):.0f} %), "
        f"mIoU {on['miou'] - off['miou']:+.2f}, ConsW {on['consw'] - off['consw']:+.2f}, poles {pole:+.1f}"
    )


def gains(figures: Figures) -> str:
    """What each memory brings, a line a network, memory and hysteresis."""
    lines = []
    for key, report in figures.items():
        name, hysteresis, memory = key.split(", ")
        if memory != "off":
            title = f"- `{name}`, memory {memory}, hysteresis {hysteresis}"
            lines.append(f"{title}: {gain(figures[f'{name}, {hysteresis}, off'], report)}")
    return "\n".join(lines)


def tables() -> dict[str, str]:
    """The Markdown of everything that was measured, by its place in results.in.md."""
    figures = json.loads(MEMORIES.read_text()) if MEMORIES.is_file() else {}
    built = dict.fromkeys(("memories", "memory_gains", "strides", "gates", "window", "both_ways"), "not measured yet")
    if "quality" in figures:
        header = ["network", "hysteresis", "memory", *QUALITY, "pole"]
        built["memories"] = table(header, rows(figures["quality"], QUALITY))
        built["memory_gains"] = gains(figures["quality"])
    for part, title in (("strides", "every Nth frame"), ("window", "frames")):
        if part in figures:
            last = ["memory"] if part == "strides" else []
            built[part] = table(["network", title, *last, *QUALITY, "pole"], rows(figures[part], QUALITY))
    if "gates" in figures:
        header = ["gain", "decay", "tear", "every Nth frame", *QUALITY, "pole"]
        built["gates"] = table(header, rows(figures["gates"], QUALITY))
    if "both_ways" in figures:
        built["both_ways"] = table(["network", *QUALITY, "pole"], rows(figures["both_ways"], QUALITY))
    return built


def main() -> None:
    """Measure the parts that are named, or all; the other figures stay."""
    torch.set_num_threads(1)
    for part in sys.argv[1:] or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            found = {part: PARTS[part](Path(folder) / "figures.json")}
        known = json.loads(MEMORIES.read_text()) if MEMORIES.is_file() else {}
        MEMORIES.write_text(json.dumps(known | found, indent=1) + "\n")


if __name__ == "__main__":
    main()

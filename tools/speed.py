"""Measure engines and node, and the quality that each engine keeps: ``make benchmark``. Writes docs/speed.json.

CamVid is found through VIDSEG_DATA. Nothing else should run meanwhile. ``tables`` turns the figures into Markdown.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vidseg_ros.benchmark import UNTUNED

if __name__ == "__main__":  # as ``python tools/speed.py`` too
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.tables import table

DOCS = Path(__file__).resolve().parents[1] / "docs"
SPEED = DOCS / "speed.json"
MODEL = "espnet_l1b_camvid"  # the network of the F2F paper: what all figures are of
CHECKPOINT = ("--checkpoint", MODEL)
SIZES = ("480x360", "1024x512")
LOWER = "openvino:bf16"
CAMERAS = "1,8"
NODE_SIZES = "640x480,1024x512"
RIG = ("--cameras", "1,4,8", "--rate", 30, "--frames", 300)  # more than the network takes
Figures = dict[str, Any]


def vidseg(*arguments: object, out: Path, **environment: str) -> Figures:
    """Run a verb; returns its figures."""
    command = [sys.executable, "-m", "vidseg_ros", *map(str, arguments), "--json", str(out)]
    subprocess.run(command, check=True, env=os.environ | environment)
    figures: Figures = json.loads(out.read_text())
    return figures


def int8(path: Path, size: str, *words: object) -> Path:
    """Export the shipped network in int8; returns ``path``."""
    command: list[object] = [
        "export",
        MODEL,
        path,
        "--format",
        "openvino",
        "--int8",
        "camvid/train",
        "--size",
        size,
        *words,
    ]
    subprocess.run([sys.executable, "-m", "vidseg_ros", *map(str, command)], check=True)
    return path


def measure(folder: Path) -> Figures:
    """All figures."""
    out = folder / "figures.json"
    files = {size: int8(folder / f"int8_{size}.xml", size, "--hysteresis", 0) for size in SIZES}  # as the reference
    figures: Figures = {"benchmark": {}, "quality": {}}
    for size, path in files.items():
        engines = f"torch,openvino,onnxruntime,{LOWER},{path}"
        figures["benchmark"][size] = vidseg("benchmark", *CHECKPOINT, "--engines", engines, "--sizes", size, out=out)
    cameras = ("--engines", f"openvino,{LOWER}", "--cameras", CAMERAS, "--sizes", SIZES[0])
    figures["cameras"] = vidseg("benchmark", *CHECKPOINT, *cameras, out=out)
    figures["node"] = vidseg(
        "benchmark", *CHECKPOINT, "--node", "--engines", f"openvino,{LOWER}", "--sizes", NODE_SIZES, out=out
    )
    figures["rig"] = vidseg("benchmark", *CHECKPOINT, "--node", "--engines", LOWER, "--sizes", SIZES[0], *RIG, out=out)
    figures["spin"] = {
        f"{where}, {turns} turns": spinning(turns, where == "busy", out)
        for where in ("quiet", "busy")
        for turns in (UNTUNED["GOMP_SPINCOUNT"], os.environ["GOMP_SPINCOUNT"])
    }
    for name, words in {
        "torch": ("--engine", "torch"),
        "openvino": ("--engine", "openvino"),
        "onnxruntime": ("--engine", "onnxruntime"),
        LOWER: ("--engine", "openvino", "--precision", "bf16"),
    }.items():
        figures["quality"][name] = vidseg("evaluate", MODEL, "camvid/val", *words, out=out)
    figures["quality"]["openvino int8"] = vidseg("evaluate", int8(folder / "int8.xml", SIZES[0]), "camvid/val", out=out)
    plain: Figures = json.loads(json.dumps(figures).replace(str(folder), ""))
    return plain


def spinning(turns: str, busy: bool, out: Path) -> float:
    """Milliseconds of a step of PyTorch whose waiting threads spin so often."""
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        words = ("benchmark", *CHECKPOINT, "--engines", "torch", "--sizes", SIZES[0], "--rounds", 3)
        *_, result = vidseg(*words, out=out, GOMP_SPINCOUNT=turns)["results"]
    finally:
        if other:
            other.kill()
            other.wait()
    return float(result["ms_p50"])


def name_of(result: Figures) -> str:
    """What the tables call an engine."""
    if result["engine"].endswith(".xml"):
        return "openvino int8"
    return str(result["engine"]) + ("" if result["precision"] == "f32" else f":{result['precision']}")


def engines(figures: Figures) -> str:
    """The table of engines by size."""
    rows = [
        [
            result["size"],
            name_of(result),
            f"{result['ms_p50']:.1f}",
            f"{result['ms_p95']:.1f}",
            f"{result['ratio']:.2f}",
            f"{result['label_agreement']:.3f}",
            f"{result['peak_rss_mb']:.0f}",
        ]
        for run in figures["benchmark"].values()
        for result in run["results"]
    ]
    return table(["size", "engine", "ms p50", "ms p95", "ratio", "equal labels, %", "peak MB"], rows)


def bars(figures: Figures) -> dict[str, tuple[float, list[tuple[str, float]]]]:
    """By size the floor of the machine and each engine's milliseconds, for the plot."""
    return {
        size: (run["floor_ms"][size], [(name_of(result), result["ms_p50"]) for result in run["results"]])
        for size, run in figures["benchmark"].items()
    }


def floors(figures: Figures) -> str:
    """One line about the floor of the machine."""
    parts = [
        f"{size}: {run['gmacs'][size]:.2f} G multiply-adds, {run['floor_ms'][size]:.1f} ms at the "
        f"{run['floor']['gflops']:.0f} GFLOP/s of a matrix product"
        for size, run in figures["benchmark"].items()
    ]
    return "; ".join(parts)


def cameras(figures: Figures) -> str:
    """The table of several cameras in one step."""
    rows = [
        [name_of(result), result["cameras"], f"{result['ms_p50']:.1f}", f"{result['ms_p50'] / result['cameras']:.1f}"]
        for result in figures["cameras"]["results"]
        if result["engine"] != "reference"
    ]
    return table(["engine", "cameras", "ms p50", "ms p50 a camera"], rows)


def node(figures: Figures) -> str:
    """The table of the node."""
    parts = ("latency_ms", "transport_ms", "queue_ms", "read_ms", "model_ms", "publish_ms", "overhead_percent")
    rows = [
        [result["size"], name_of(result)]
        + [f"{result[part]['p50']:.1f} / {result[part]['p95']:.1f}" for part in parts]
        + [result["first_label_s"], f"{result['cpu_percent']:.0f} %", result["frames"]["dropped"]]
        for result in figures["node"]["results"]
    ]
    named = ["latency", "transport", "queue", "read", "model", "publish", "overhead %"]
    return table(["size", "engine", *named, "first label, s", "CPU", "dropped"], rows)


def rig(figures: Figures) -> str:
    """The table of several cameras that send more than the network takes."""
    rows = []
    for result in figures["rig"]["results"]:
        counts, frames = result["labels_by_camera"], result["frames"]
        answered = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else counts[0]
        latency = f"{result['latency_ms']['p50']:.1f} / {result['latency_ms']['p95']:.1f}"
        rows.append([result["cameras"], frames["sent"], frames["dropped"], answered, latency])
    return table(["cameras", "sent", "dropped", "labels of a camera", "latency, ms"], rows)


def spin(figures: Figures) -> str:
    """What a step of PyTorch takes by how long its threads spin."""
    rows = [[name, f"{milliseconds:.1f}"] for name, milliseconds in figures["spin"].items()]
    return table(["machine, spinning", "ms p50"], rows)


def quality(figures: Figures) -> str:
    """The table of what each engine keeps of the quality."""
    keys = ("miou", "acc", "cons", "consw")
    rows = [[name, *(f"{values[key]:.2f}" for key in keys)] for name, values in figures["quality"].items()]
    return table(["engine", "mIoU", "Acc", "Cons", "ConsW"], rows)


def tables() -> dict[str, str]:
    """The Markdown of everything that was measured, by its place in results.in.md."""
    figures = json.loads(SPEED.read_text())
    builders: dict[str, Callable[[Figures], str]] = {
        "engines": engines,
        "floors": floors,
        "cameras": cameras,
        "node": node,
        "rig": rig,
        "spin": spin,
        "engine_quality": quality,
    }
    return {name: build(figures) for name, build in builders.items()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        SPEED.write_text(json.dumps(measure(Path(scratch)), indent=1) + "\n")

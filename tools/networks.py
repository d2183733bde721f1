"""Measure every network at hand, side by side: ``python -m tools.networks``. Writes docs/networks.json.

Quality on CamVid val (found through VIDSEG_DATA; the released Cityscapes weights beside it), milliseconds of all
networks in one run per size, of what ships, and of memories; name ``quality``, ``speed``, ``shipped`` or
``memory_cost`` to measure only that.
Nothing else should run while speed is measured. ``tables`` turns the figures into Markdown.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from vidseg_ros.benchmark import Case, compare, multiply_adds
from vidseg_ros.checkpoints.checkpoint import Checkpoint, load_checkpoint
from vidseg_ros.data.datasets import data_root
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.networks import build
from vidseg_ros.networks.config import PropagationConfig
from vidseg_ros.networks.gated_flow import GatedFlowConfig
from vidseg_ros.networks.stgru import STGRUConfig

if __name__ == "__main__":  # as ``python tools/networks.py`` too
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.tables import table

DOCS = Path(__file__).resolve().parents[1] / "docs"
NETWORKS = DOCS / "networks.json"
RELEASES = data_root().parent / "weights" / "cityscapes"
SHIPPED = ("espnet_camvid", "espnet_l1b_camvid", "fddwnet_camvid")
FILES = ("espnet_l1b_camvid", "espnet_camvid", "espnet_camvid_fast", "fddwnet_camvid", "fddwnet_cityscapes")
SIZES = ((480, 360), (1024, 512))  # of the milliseconds
INPUTS = ("480x360", "960x720")  # of the quality, zero-shot
ROUNDS, STEPS = 5, 4
TRAINED: dict[str, PropagationConfig] = {"STGRU": STGRUConfig(), "learned gate": GatedFlowConfig()}
QUALITY = {"mIoU": "miou", "Acc": "acc", "Cons": "cons", "ConsW": "consw"}


def vidseg(*arguments: object, out: Path) -> dict[str, Any]:
    """Figures of a verb."""
    command = [sys.executable, "-m", "vidseg_ros", *map(str, arguments), "--json", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return dict(json.loads(out.read_text()))


def evaluate(checkpoint: object, *options: object, out: Path) -> dict[str, Any]:
    """Figures of a checkpoint on CamVid val, in its 11 classes."""
    plain = ("--engine", "openvino", "--device", "cpu")
    return vidseg("evaluate", checkpoint, "camvid/val", "--label-set", "camvid", *plain, *options, out=out)


def imported(folder: Path) -> dict[str, str]:
    """The released networks as checkpoints, by name."""
    found = {}
    for file in sorted(RELEASES.glob("*.pth")):
        name = f"{file.name.partition('_')[0]}_cityscapes"
        target = folder / f"{name}.safetensors"
        subprocess.run([sys.executable, "-m", "vidseg_ros", "import-weights", file, target], check=True)
        found[name] = str(target)
    return found


def quality(checkpoints: dict[str, str], out: Path) -> dict[str, Any]:
    """Quality by network and input size; the shipped ones at the size that they were trained at."""
    rows = {}
    for name, path in checkpoints.items():
        trained = "{}x{}".format(*load_checkpoint(path).network.config.input.size)
        for size in [trained] if name in SHIPPED else INPUTS:
            rows[f"{name} {size}"] = evaluate(
                path, "--size", size, "--memory", "off", "--hysteresis", 0, "--no-temporal", out=out
            ) | {"checkpoint": name}
    return rows


def speed(checkpoints: dict[str, str]) -> list[dict[str, Any]]:
    """Milliseconds of all networks, in turns; each against the first."""
    results = []
    for size in SIZES:
        keys = [(name, precision) for name in checkpoints for precision in precisions()]
        cases = [
            Case(checkpoints[name], EngineConfig("openvino", "cpu", 0, precision, hysteresis=0.0), size)
            for name, precision in keys
        ]
        for (name, _), result in zip(keys, compare(cases, ROUNDS, STEPS, print), strict=True):
            results.append(result | {"network": name})
    return results


def shipped() -> list[dict[str, Any]]:
    """Milliseconds of what ships, each as it asks to be run and at its own size, in turns; against the first."""
    cases = []
    for name in FILES:
        size = load_checkpoint(name).network.config.input.size
        cases += [Case(name, EngineConfig("openvino", "cpu", 0, precision), size) for precision in precisions()]
    results = compare(cases, ROUNDS, STEPS, print)
    return [result | {"file": case.checkpoint} for case, result in zip(cases, results, strict=True)]


def memory_cost(folder: Path) -> list[dict[str, Any]]:
    """Milliseconds of the shipped networks by what they remember along the flow, on one thread, in turns."""
    cases = {
        f"{name}, {memory}": Case(name, EngineConfig("openvino", "cpu", 1, hysteresis=0.0, memory=memory), SIZES[0])
        for name in SHIPPED
        for memory in ("network", "flow")
    }
    for kind, unit in TRAINED.items():
        network = followed(load_checkpoint(SHIPPED[0]), unit, folder / f"{unit.name}.safetensors")
        cases[f"{SHIPPED[0]}, {kind}"] = Case(network, EngineConfig("openvino", "cpu", 1, hysteresis=0.0), SIZES[0])
    results = compare(list(cases.values()), ROUNDS, 2 * STEPS, print)
    return [
        result | {"network": name, "memory": memory}
        for (name, memory), result in zip((key.split(", ") for key in cases), results, strict=True)
    ]


def followed(checkpoint: Checkpoint, unit: PropagationConfig, file: Path) -> str:
    """A file of the network with what can be trained to remember along the flow; untrained it costs as much."""
    network = build(replace(checkpoint.network.config, propagation=unit))
    replace(checkpoint, network=network.eval()).save(file)
    return str(file)


def precisions() -> tuple[str, ...]:
    """Of the arithmetic, that this CPU has."""
    return ("f32", "bf16") if has_bf16() else ("f32",)


def has_bf16() -> bool:
    """Whether the CPU computes in bf16; elsewhere OpenVINO takes float32 and says nothing."""
    return "bf16" in Path("/proc/cpuinfo").read_text()


def processor() -> str:
    """The name of the CPU, and whether it has bf16 arithmetic."""
    about = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(":")[2].strip() for line in about if line.startswith("model name")), "unknown CPU")
    return f"{name}, {'with' if has_bf16() else 'without'} bf16 arithmetic"


def sizes(checkpoints: dict[str, str]) -> dict[str, Any]:
    """Parameters and multiply-adds by network."""
    return {
        name: {
            "parameters": sum(p.numel() for p in load_checkpoint(path).network.parameters()),
            "gmacs": {"{}x{}".format(*size): round(multiply_adds(path, size), 2) for size in SIZES},
        }
        for name, path in checkpoints.items()
    }


PARTS = ("quality", "speed", "shipped", "memory_cost")


def measure(part: str, folder: Path) -> dict[str, Any]:
    """The figures of one of PARTS."""
    checkpoints = {name: name for name in SHIPPED} | imported(folder)
    if part == "quality":
        out = folder / "figures.json"
        return {"quality": quality(checkpoints, out)}
    if part == "shipped":
        return {"shipped": shipped()}
    if part == "memory_cost":
        return {"memory_cost": memory_cost(folder)}
    return {
        "cpu": processor(),
        "sizes": sizes(checkpoints),
        "speed": speed(checkpoints),
    }


def networks(figures: dict[str, Any]) -> str:
    """The table of networks: size and speed."""
    times = {(r["network"], r["size"], r["precision"]): r["ms_p50"] for r in figures["speed"]}
    names = ["{}x{}".format(*size) for size in SIZES]
    precisions = list(dict.fromkeys(precision for _, _, precision in times))
    header = ["network", "parameters", *(f"GMAC {name}" for name in names)]
    header += [f"ms {name} {precision}" for name in names for precision in precisions]
    rows = [
        [name, f"{about['parameters']:,}", *(f"{about['gmacs'][size]:.2f}" for size in names)]
        + [f"{times[name, size, precision]:.1f}" for size in names for precision in precisions]
        for name, about in figures["sizes"].items()
    ]
    return table(header, rows)


def files(figures: dict[str, Any]) -> str:
    """The table of what ships, as it asks to be run: milliseconds by precision, and against the first."""
    times = {(r["file"], r["precision"]): r["ms_p50"] for r in figures["shipped"]}
    names, kinds = (list(dict.fromkeys(keys)) for keys in zip(*times, strict=True))
    sizes = {r["file"]: r["size"] for r in figures["shipped"]}
    rows = [
        [name, sizes[name]]
        + [f"{times[name, kind]:.1f} ({times[name, kind] / times[names[0], kind]:.2f})" for kind in kinds]
        for name in names
    ]
    return table(["file", "input", *(f"ms {kind} (times the first)" for kind in kinds)], rows)


def scores(figures: dict[str, Any], names: dict[str, str]) -> list[list[str]]:
    """Rows of a table, ``names`` of the figures by its columns."""
    return [[row, *(f"{values[key]:.2f}" for key in names.values())] for row, values in figures.items()]


def cost(figures: dict[str, Any]) -> str:
    """What remembering along the flow costs, by network."""
    ms = {(r["network"], r["memory"]): r["ms_p50"] for r in figures["memory_cost"]}
    rows = [
        [name, "as it is" if memory == "network" else memory, f"{time:.1f}", f"{time - ms[name, 'network']:+.1f}"]
        for (name, memory), time in ms.items()
    ]
    return table(["network", "memory", "ms", "more"], rows)


def tables() -> dict[str, str]:
    """The Markdown of everything that was measured, by its place in results.in.md."""
    figures = json.loads(NETWORKS.read_text()) if NETWORKS.is_file() else {}
    built = dict.fromkeys(("networks", "network_quality", "memory_cost", "shipped"), "not measured yet")
    if "quality" in figures:
        built["network_quality"] = table(["network, input", *QUALITY], scores(figures["quality"], QUALITY))
    if "speed" in figures:
        built["networks"] = networks(figures)
    if "shipped" in figures:
        built["shipped"] = files(figures)
    if "memory_cost" in figures:
        built["memory_cost"] = cost(figures)
    return built | {"cpu": figures.get("cpu", "unknown CPU")}


def main() -> None:
    """Measure the parts that are named, or all; the other figures stay."""
    for part in sys.argv[1:] or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(part, Path(folder))
        known = json.loads(NETWORKS.read_text()) if NETWORKS.is_file() else {}
        NETWORKS.write_text(json.dumps(known | found, indent=1) + "\n")


if __name__ == "__main__":
    main()

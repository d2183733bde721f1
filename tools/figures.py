"""Measure everything that the documents state: ``make docs``.

Writes results.md, figures.json and the pictures of docs/. CamVid and the official weights are found through
VIDSEG_DATA; without them their rows stay.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from vidseg_ros.checkpoints.checkpoint import DEFAULT_CHECKPOINT
from vidseg_ros.data.datasets import data_root
from vidseg_ros.evaluation.counts import FIGURES as REPLAYED

if __name__ == "__main__":  # as ``python tools/figures.py`` too
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools import comparisons, disturbances, memories, networks, plots, remembering, speed, stability
from tools.networks import QUALITY
from tools.rendering import RENDERING
from tools.tables import table

DOCS = Path(__file__).resolve().parents[1] / "docs"
FIGURES = DOCS / "figures.json"
EXPERIMENTS = DOCS / "experiments.json"
REPLAYS = DOCS / "replay_figures.json"  # of replay_figures.py
OFFICIAL = data_root().parent / "weights" / "official_decoder_espnet_p_2_q_8_camvid.pth"
SHIPPED = ("espnet_camvid", "espnet_l1b_camvid", "espnet_camvid_fast", DEFAULT_CHECKPOINT)
PAIR = {"memory off": "off", "memory on": "auto"}  # of the default, at the hysteresis of the file
CPU = ("--device", "cpu")
PLAIN = ("--engine", "openvino", *CPU)
TRUTH = {"mIoU": "miou", "Acc": "acc", "Cons": "cons", "ConsW": "consw", "VC8": "vc8", "VC16": "vc16"}
MOTION = {"TC (occlusion-aware)": "tc_visible", "trajectory": "trajectory", "flicker": "flicker"}
SIZES = ("480x360", "640x480", "1024x512")
Figures = dict[str, Any]


def vidseg(*arguments: object, json_file: Path | None = None) -> Figures:
    """Run a verb; returns its figures, where a file is named for them."""
    command = [sys.executable, "-m", "vidseg_ros", *map(str, arguments)]
    subprocess.run([*command, *(["--json", str(json_file)] if json_file else [])], check=True)
    figures: Figures = json.loads(json_file.read_text()) if json_file else {}
    return figures


def measure(folder: Path) -> Figures:
    """All figures that can be measured here."""
    figures: Figures = json.loads(FIGURES.read_text()) if FIGURES.is_file() else {"evaluate": {}, "demo": {}}
    out = folder / "figures.json"
    val = data_root() / "camvid" / "val"
    checkpoints: dict[str, str | Path] = dict(zip(SHIPPED, SHIPPED, strict=True))
    if OFFICIAL.is_file():
        official = folder / "official.safetensors"
        checkpoints = {OFFICIAL.stem: official, **checkpoints}
        vidseg("import-weights", OFFICIAL, official)
    if val.is_dir():
        for name, path in checkpoints.items():
            values = vidseg("evaluate", path, "camvid/val", *PLAIN, json_file=out)
            figures["evaluate"][name] = values | {"checkpoint": name}
        figures["pair"] = {
            title: vidseg("evaluate", DEFAULT_CHECKPOINT, "camvid/val", "--memory", memory, *PLAIN, json_file=out)
            for title, memory in PAIR.items()
        }
        answers = {title: stability.predict("camvid/val", memory) for title, memory in PAIR.items()}
        figures["over_time"] = {title: stability.over_time(*answer) for title, answer in answers.items()}
        figures["by_distance"] = {title: stability.by_distance(*answer[1:]) for title, answer in answers.items()}
        recorded = ("--output", folder / "camvid", "--input", val / "frames", *CPU)
        figures["demo"]["CamVid val"] = vidseg("demo", *recorded, json_file=out)
    for size in SIZES:
        drawn = ("--output", folder / "street", "--size", size, *CPU)
        figures["demo"][f"street world {size}"] = vidseg("demo", *drawn, json_file=out)
        if size == SIZES[0]:
            shutil.copy(folder / "street" / "demo.png", DOCS / "demo.png")
    return figures


def quality(figures: Mapping[str, Figures], names: Mapping[str, str] = TRUTH) -> str:
    """The table of what the checkpoints reach; ``names`` of the figures by what the table calls them."""
    rows = [[name, *(f"{values[key]:.2f}" for key in names.values())] for name, values in figures.items()]
    return table(["checkpoint", *names], rows)


def experiment(names: Sequence[str]) -> Callable[[Figures], str]:
    """A function from all experiments to the table of those in ``names``, as far as they were run."""

    def rows(experiments: Figures) -> str:
        header = [
            "run",
            "seeds",
            "cell parameters",
            "mIoU",
            "Acc",
            "Cons",
            "ConsW",
            "TC (occlusion-aware)",
            "pole",
            "memory off: mIoU",
            "Cons",
            "ConsW",
        ]
        found = {name: runs for name in names if (runs := seeds_of(name, experiments))}
        if len(found) < 2:
            return "Not run yet."
        return table(
            header,
            [
                [
                    name,
                    len(runs),
                    f"{runs[0]['cell_parameters']:,}",
                    *(spread(runs, key) for key in ("miou", "acc", "cons", "consw", "tc_visible")),
                    spread([{"pole": run["per_class"]["pole"]} for run in runs], "pole"),
                    *(spread([run.get("off", {}) for run in runs], key) for key in ("miou", "cons", "consw")),
                ]
                for name, runs in found.items()
            ],
        )

    return rows


def seeds_of(name: str, experiments: Figures) -> list[Figures]:
    """The figures of a run, one a seed."""
    return [report for key, report in experiments.items() if key.partition(", seed ")[0] == name]


def spread(runs: Sequence[Figures], key: str) -> str:
    """The mean of a figure where it is known, and how far the seeds lie from it at most."""
    values = [run[key] for run in runs if key in run]
    if not values:
        return ""
    mean = sum(values) / len(values)
    furthest = max(abs(value - mean) for value in values)
    return f"{mean:.2f} ± {furthest:.2f}" if len(values) > 1 else f"{mean:.2f}"


def rendered(size: str, frames_per_second: Mapping[str, int]) -> str:
    """How fast the street world renders, by the number of processes."""
    alone, both = frames_per_second.values()
    return f"{alone} frames of {size} a second in one process, {both} in two at once"


TABLES = {
    "positions": experiment(["single", "single, same clips", "L1b 3x3", *comparisons.REMEMBERING, *comparisons.RUNS]),
    "cell_only": experiment(
        [
            "single, same clips",
            "cell only",
            "cell only, lambda 0",
            "cell only, lambda 100",
            "cell only, absolute",
        ]
    ),
    "etc": experiment(list(comparisons.ETC)),
    "grfp": experiment(list(comparisons.GRFP)),
}


def per_class(figures: Mapping[str, Figures]) -> str:
    """The table of intersection over union by class."""
    classes = list(next(iter(figures.values()))["per_class"])
    rows = [[name, *(f"{values['per_class'][c]:.1f}" for c in classes)] for name, values in figures.items()]
    return table(["checkpoint", *classes], rows)


def flicker(figures: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """The table of where labels flicker."""
    edges = [0, *stability.EDGES]
    names = [*(f"{low} to {high}" for low, high in pairwise(edges)), f"{edges[-1]} and more"]
    area, single, video = figures["memory off"][0], *(figures[name][1] for name in PAIR)
    rows = [[name, *(f"{value:.2f}" for value in row)] for name, *row in zip(names, area, single, video, strict=True)]
    sums = ["all", *(f"{sum(column):.2f}" for column in (area, single, video))]
    return table(["pixels from a boundary", "of the area", *PAIR], [*rows, sums])


def demo(figures: Mapping[str, Figures]) -> str:
    """The table of the node over DDS: what became of the frames. How fast it was, tools/speed.py measures."""
    keys = ("sent", "processed", "dropped", "rejected")
    rows = [[name, *(values["frames"][key] for key in keys), values["resets"]] for name, values in figures.items()]
    return table(["input", *keys, "resets"], rows)


def replayed(figures: Figures) -> str:
    """The table of the shipped pair in a replay, with the bootstrap intervals of all figures."""
    pair, difference = figures["camvid"]["pair"], figures["camvid"]["difference"]
    rows = [
        [title, *(cell(one[key], *one["intervals"][key]) for one in pair), cell(*difference[key].values(), sign="+")]
        for key, title in REPLAYED.items()
    ]
    return table(["percent", *(one["checkpoint"] for one in pair), "difference"], rows)


def cell(*measured: float, sign: str = "") -> str:
    """A value with the bounds of its interval."""
    value, low, high = (f"{figure:{sign}.2f}" for figure in measured)
    return f"{value} [{low}, {high}]"


def with_flow(figures: Figures) -> str:
    """The table of what the memory along the flow changes of each network, with bootstrap intervals."""
    if "memories" not in figures:
        return "Not measured yet."
    shown = QUALITY | MOTION
    rows = [
        [f"`{name}`", *(cell(*difference[key].values(), sign="+") for key in shown.values())]
        for name, difference in figures["memories"].items()
    ]
    return table(["network", *shown], rows)


def long_replay(figures: Figures) -> str:
    """What the replay of a long bag took."""
    long = figures["long"]
    return (
        f"{long['frames']:,} frames of {long['size']}: {long['frames_per_second']} frames a second on "
        f"{long['threads']} thread, {long['peak_mb']} MB at most, a report of {long['report_kb']} kB"
    )


def main() -> None:
    """Measure, unless told ``--as-measured``, and write."""
    if "--as-measured" not in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            FIGURES.write_text(json.dumps(measure(Path(folder)), indent=1) + "\n")
    write(json.loads(FIGURES.read_text()), json.loads(EXPERIMENTS.read_text()))


def write(figures: Figures, experiments: Figures) -> None:
    """Draw the plots and write results.md."""
    plots.plot_consistency(figures["over_time"])
    plots.plot_classes(figures["pair"])
    small = {**comparisons.SEEDED, **comparisons.RUNS}
    shown = {name: run for name, run in experiments.items() if name.partition(", seed ")[0] in small}
    plots.plot_tradeoff({name: run for name, run in shown.items() if "SSNet" not in name})
    plots.plot_speed(speed.bars(json.loads(speed.SPEED.read_text())))
    replays = json.loads(REPLAYS.read_text())
    text = (DOCS / "results.in.md").read_text()
    for key, value in {
        "quality": quality(figures["evaluate"]),
        "motion": quality(figures["evaluate"], MOTION),
        "gain": memories.gain(*figures["pair"].values()),
        "per_class": per_class(figures["evaluate"]),
        "by_distance": flicker(figures["by_distance"]),
        "demo": demo(figures["demo"]),
        "cores": str(os.cpu_count()),
        "grfp_steps": str(comparisons.GRFP_STEPS),
        "etc_steps": str(comparisons.ETC_STEPS),
        **{name: build(experiments) for name, build in TABLES.items()},
        "replayed": replayed(replays),
        "with_flow": with_flow(replays),
        "verdict": replays["camvid"]["verdict"],
        "report_kb": str(replays["camvid"]["report_kb"]),
        "long_replay": long_replay(replays),
        "rendering": rendered(**json.loads(RENDERING.read_text())),
        **speed.tables(),
        **networks.tables(),
        **memories.tables(),
        **disturbances.tables(),
        **remembering.tables(),
    }.items():
        text = text.replace(f"{{{{{key}}}}}", value)
    (DOCS / "results.md").write_text(text)


if __name__ == "__main__":
    main()

"""The plots of results.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

DOCS = Path(__file__).resolve().parents[1] / "docs"
SIZE = (8, 3.4)
LINE = 0.15  # mIoU between two names in the plot of small runs
SHOWN = 6  # mIoU from the best run to the worst in it
Report = dict[str, Any]  # figures of one run


def plot_consistency(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> None:
    """Draw Cons over time, one line a checkpoint."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    for name, (seconds, cons) in curves.items():
        axes.plot(seconds, cons, label=f"{name} (mean {np.mean(cons):.2f})", linewidth=1.2)
    axes.set(xlabel="seconds", ylabel="Cons, %", title="CamVid val: consistency from frame to frame")
    _save(figure, axes, "consistency.png")


def plot_classes(reports: Mapping[str, Report]) -> None:
    """Draw IoU by class as bars, one colour a checkpoint."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    names = list(next(iter(reports.values()))["per_class"])
    width = 0.8 / len(reports)
    for number, (name, report) in enumerate(reports.items()):
        places = np.arange(len(names)) + (number - (len(reports) - 1) / 2) * width
        axes.bar(places, [report["per_class"][c] for c in names], width, label=f"{name} (mIoU {report['miou']:.2f})")
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set(ylabel="IoU, %", title="CamVid val: intersection over union by class")
    _save(figure, axes, "classes.png")


def spread(heights: Sequence[float]) -> list[float]:
    """Rising ``heights`` moved up until they lie LINE apart: one name a line, or they hide each other."""
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, moved[-1] + LINE) if moved else height)
    return moved


def plot_tradeoff(experiments: Mapping[str, Report]) -> None:
    """Draw mIoU against inconsistency, one dot a run; those far below are named beneath."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    runs = sorted(experiments.items(), key=lambda item: item[1]["miou"])
    least = runs[-1][1]["miou"] - SHOWN
    shown = [(name, report) for name, report in runs if report["miou"] >= least]
    places = spread([report["miou"] for _, report in shown])
    for (name, report), place in zip(shown, places, strict=True):
        inconsistency = 100 - report["cons"]
        axes.plot(inconsistency, report["miou"], "C1o" if report["cell_parameters"] else "C0s")
        axes.annotate(
            name,
            (inconsistency, report["miou"]),
            (1.01, place),
            textcoords=("axes fraction", "data"),
            fontsize=7,
            va="center",
            arrowprops={"arrowstyle": "-", "color": "0.8", "linewidth": 0.6},
        )
    axes.plot([], [], "C0s", label="single frames")
    axes.plot([], [], "C1o", label="with ConvLSTM")
    axes.invert_xaxis()
    below = ", ".join(f"{name} ({report['miou']:.1f})" for name, report in runs if report["miou"] < least)
    axes.set(
        xlabel="inconsistency, 100 - Cons, %" + (f"\nnot shown, mIoU far below: {below}" if below else ""),
        ylabel="mIoU, %",
        title="Small runs: accuracy and consistency",
    )
    _save(figure, axes, "tradeoff.png")


def plot_speed(runs: Mapping[str, tuple[float, Sequence[tuple[str, float]]]]) -> None:
    """Draw milliseconds a step as bars, one group a frame size, with the floor of the machine in float32.

    ``runs``: by size, the floor in ms and (engine, ms) pairs.
    """
    figure = Figure(figsize=SIZE, layout="constrained")
    rows = figure.subplots(1, len(runs), squeeze=False)[0]
    for axes, (size, (floor, bars)) in zip(rows, runs.items(), strict=True):
        names, times = zip(*bars, strict=True)
        axes.barh(names[::-1], times[::-1], color=["C1" if ":" in n or "int8" in n else "C0" for n in names[::-1]])
        axes.axvline(floor, color="0.3", linestyle="--", linewidth=1, label="matrix product, float32")
        for place, value in enumerate(times[::-1]):
            axes.text(value, place, f" {value:.0f}", va="center", fontsize=7)
        axes.set(xlabel="ms a step, p50", title=size, xlim=(0, 1.12 * max(times)))
    _save(figure, axes, "speed.png")


def _save(figure: Figure, axes: Axes, name: str) -> None:
    for part in figure.axes:
        part.grid(alpha=0.3)
        part.set_axisbelow(True)
    axes.legend(fontsize=8)
    figure.savefig(DOCS / name, dpi=110, metadata={"Software": None})

"""docs/driving.md and docs/driving.png, from the figures of drive_figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

DOCS = Path(__file__).resolve().parents[1] / "docs"
TEMPLATE, PAGE, CHART = DOCS / "driving.in.md", DOCS / "driving.md", DOCS / "driving.png"
DRAWS, BOUNDS = 2000, (2.5, 97.5)
HYSTERESIS, OFF = " + hysteresis", ", memory off"  # in the names of labels
FEW = 5  # streets below which nothing is certain
Drive = Mapping[str, Any]
Key = tuple[str, float]  # condition and frames a second

COLUMNS: dict[str, tuple[Callable[[Drive], float], str]] = {
    "cross-track p50, m": (lambda drive: drive["cross_track_m"]["p50"], ".2f"),
    "p95, m": (lambda drive: drive["cross_track_m"]["p95"], ".2f"),
    "lateral jerk, m/s³": (lambda drive: drive["lateral_jerk"], ".2f"),
    "longitudinal jerk, m/s³": (lambda drive: drive["longitudinal_jerk"], ".2f"),
    "false brakings": (lambda drive: drive["false_brakings"], ".1f"),
    "way, m": (lambda drive: drive["completed_m"], ".1f"),
    "Cons, %": (lambda drive: drive["cons"], ".2f"),
}


def without_fault(drive: Drive) -> bool:
    """Whether the vehicle stayed in its lane and hit nobody."""
    return bool(drive["in_lane"] == 100 and not drive["collisions"])


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Mean of paired differences, and its bounds by the bootstrap over streets (Efron 1979)."""
    values = np.asarray(differences, np.float64)
    draws = np.random.default_rng(0).integers(0, len(values), (DRAWS, len(values)))
    low, high = np.percentile(values[draws].mean(1), BOUNDS)
    return float(values.mean()), float(low), float(high)


def select(drives: Sequence[Drive], **wanted: Any) -> list[Drive]:
    """The drives of some values, by street."""
    found = [drive for drive in drives if all(drive[name] == value for name, value in wanted.items())]
    return sorted(found, key=lambda drive: drive["seed"])


def lines(header: Sequence[str], rows: Sequence[Sequence[object]], texts: int = 1) -> str:
    """A table; all columns but the first ``texts`` are numbers."""
    head = [f"| {' | '.join(header)} |", "|" + " --- |" * texts + " ---: |" * (len(header) - texts)]
    return "\n".join(head + [f"| {' | '.join(map(str, row))} |" for row in rows])


def row(name: str, drives: Sequence[Drive]) -> list[str]:
    """Streets without a fault, and means over streets."""
    means = [format(float(np.mean([take(drive) for drive in drives])), form) for take, form in COLUMNS.values()]
    return [name, f"{sum(map(without_fault, drives))} of {len(drives)}", *means]


def streets(drives: Sequence[Drive], part: str) -> str:
    """The table of a part, one row for each kind of labels."""
    chosen = select(drives, part=part)
    names = dict.fromkeys(drive["labels"] for drive in chosen)
    return lines(["labels", "without a fault", *COLUMNS], [row(n, select(chosen, labels=n)) for n in names])


def keys(study: Sequence[Drive]) -> list[Key]:
    """Conditions in the order in which they were driven."""
    return list(dict.fromkeys((drive["condition"], drive["fps"]) for drive in sorted(study, key=lambda d: d["fps"])))


def paired(study: Sequence[Drive]) -> list[Drive]:
    """What was driven on those streets alone that everybody drove under the same conditions."""
    names = {drive["labels"] for drive in study}

    def complete(drive: Drive) -> bool:
        same = select(study, seed=drive["seed"], condition=drive["condition"], fps=drive["fps"])
        return {other["labels"] for other in same} == names

    return [drive for drive in study if complete(drive)]


def conditions(study: Sequence[Drive]) -> str:
    """One table of all conditions."""
    rows = [
        [f"{condition}, {fps:g} Hz", *row(name, select(study, labels=name, condition=condition, fps=fps))]
        for condition, fps in keys(study)
        for name in dict.fromkeys(drive["labels"] for drive in study)
    ]
    return lines(["condition", "labels", "without a fault", *COLUMNS], rows, texts=2)


def comparisons(study: Sequence[Drive]) -> list[tuple[str, str]]:
    """Labels, and what they are compared with, so that one thing changes.

    That is the same network with its memory off where it was driven, or else the first ones at the same hysteresis.
    """
    first, *others = names = list(dict.fromkeys(drive["labels"] for drive in study))
    if OFF in first:
        return [(name, name + OFF) for name in names if name + OFF in names]
    return [
        (name, first + HYSTERESIS if name.endswith(HYSTERESIS) and name != first + HYSTERESIS else first)
        for name in others
    ]


def gains(study: Sequence[Drive]) -> str:
    """What each memory changes, over all streets and conditions, with intervals over streets."""
    rows: list[list[str]] = []
    for name, reference in comparisons(study):
        cells = []
        for take, form in COLUMNS.values():
            differences = _differences(study, take, reference, name)
            mean, low, high = interval(differences)
            sure = "**" if (low > 0 or high < 0) and len(differences) >= FEW else ""
            cells.append(f"{sure}{mean:+{form}}{sure} [{low:+{form}}, {high:+{form}}]")
        rows.append([name, reference, *cells])
    return lines(["labels", "minus", *COLUMNS], rows, texts=2)


def verdict(study: Sequence[Drive]) -> str:
    """Say in which figures a memory is surely better than what it is compared with, or worse."""
    if len({drive["seed"] for drive in study}) < FEW:
        return "On so few streets nothing is certain."
    said = []
    for column, (take, _) in COLUMNS.items():
        bounds = {
            name: interval(_differences(study, take, reference, name))[1:] for name, reference in comparisons(study)
        }
        for sign, word in ((1, "higher"), (-1, "lower")):
            names = [name for name, (low, high) in bounds.items() if min(sign * low, sign * high) > 0]
            if names:
                said.append(f"{column.split(',', 1)[0]} is surely {word} with {', '.join(names)}")
    unsure = "No figure tells them from the single frame: on these streets consistency does not pay at the wheel."
    return f"Each against what it is compared with: {'; '.join(said)}. Nothing else is certain." if said else unsure


def _differences(study: Sequence[Drive], take: Callable[[Drive], float], first: str, name: str) -> list[float]:
    """One difference for each street, the mean of its conditions."""

    def mean(labels: str, seed: int) -> float:
        return float(np.mean([take(drive) for drive in select(study, labels=labels, seed=seed)]))

    seeds = sorted({drive["seed"] for drive in study})
    return [mean(name, seed) - mean(first, seed) for seed in seeds]


def curve(drives: Sequence[Drive], kind: str) -> dict[float, list[Drive]]:
    """Drives by true labels by how much they flicker, or how late they come."""
    found: dict[float, list[Drive]] = {}
    for drive in select(drives, part="curves"):
        name, _, amount = drive["labels"].partition(" ")
        if name == kind:
            found.setdefault(float(amount), []).append(drive)
    return dict(sorted(found.items()))


def curves(drives: Sequence[Drive], kind: str, unit: str) -> str:
    """The table of a curve."""
    rows = [row(f"{amount:g}", found) for amount, found in curve(drives, kind).items()]
    return lines([unit, "without a fault", *COLUMNS], rows)


def draw(drives: Sequence[Drive]) -> None:
    """Draw both curves, and how much each memory shakes the vehicle."""
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    panels = figure.subplots(2, 2)
    for axes, kind, label in zip(panels[0], ("flicker", "delay"), ("share of blocks wrong", "s late"), strict=True):
        _draw_curve(axes, curve(drives, kind), f"true labels: {kind}", label)
    study = paired(select(drives, part="study"))
    for axes, column in zip(panels[1], ("lateral jerk, m/s³", "longitudinal jerk, m/s³"), strict=True):
        _draw_bars(axes, study, column)
    figure.savefig(CHART, dpi=110)


def _draw_curve(axes: Any, points: Mapping[float, Sequence[Drive]], title: str, label: str) -> None:
    shares = [100 * np.mean([without_fault(drive) for drive in drives]) for drives in points.values()]
    ways = [np.mean([drive["completed_m"] for drive in drives]) for drives in points.values()]
    axes.plot(list(points), ways, marker="o", label="way, m")
    axes.plot(list(points), shares, marker="s", label="streets without a fault, %")
    for column, mark in (("lateral jerk, m/s³", "^"), ("false brakings", "v")):
        take = COLUMNS[column][0]
        heights = [10 * np.mean([take(drive) for drive in drives]) for drives in points.values()]
        axes.plot(list(points), heights, marker=mark, linewidth=1, label=f"{column}, times 10")
    axes.set(xlabel=label, ylim=(0, None), title=title)
    _legend(axes)


def _draw_bars(axes: Any, study: Sequence[Drive], column: str) -> None:
    names = list(dict.fromkeys(drive["labels"] for drive in study))
    places, take, width = np.arange(len(keys(study))), COLUMNS[column][0], 0.8 / len(names)
    colors = colormaps["tab20"](range(len(names)))  # neighbours go in pairs: without hysteresis, and with it
    for number, name in enumerate(names):
        chosen = [select(study, labels=name, condition=condition, fps=fps) for condition, fps in keys(study)]
        heights = [np.mean([take(drive) for drive in drives]) for drives in chosen]
        axes.bar(places + width * (number - (len(names) - 1) / 2), heights, width, label=name, color=colors[number])
    axes.set_xticks(places, [f"{condition}\n{fps:g} Hz" for condition, fps in keys(study)], fontsize=8)
    axes.set(ylabel=column)
    _legend(axes)


def _legend(axes: Any) -> None:
    """Name what is drawn, above all of it."""
    rows = len(axes.get_legend_handles_labels()[0]) / 2
    axes.set_ylim(0, (1.1 + 0.1 * rows) * axes.get_ylim()[1])
    axes.legend(fontsize=8, ncols=2, loc="upper center")


def write(drives: Sequence[Drive]) -> None:
    """Fill the template, and draw the chart."""
    study = paired(select(drives, part="study"))
    told_apart = paired(select(drives, part="memory"))
    at_8_hz, at_15_hz = select(study, fps=8.0), select(study, fps=15.0)
    parts = {
        "streets": streets(drives, "streets"),
        "sealed": streets(drives, "sealed"),
        "foreign": streets(drives, "foreign"),
        "conditions": conditions(study),
        "gains": gains(at_8_hz),
        "gains at 15 Hz": gains(at_15_hz),
        "told apart": gains(told_apart) if told_apart else "not measured yet",
        "flicker": curves(drives, "flicker", "share of blocks wrong"),
        "delay": curves(drives, "delay", "delay, s"),
        "verdict": verdict(at_8_hz),
        "verdict at 15 Hz": verdict(at_15_hz),
        "study streets": str(len({drive["seed"] for drive in at_8_hz})),
        "study streets at 15 Hz": str(len({drive["seed"] for drive in at_15_hz})),
    }
    page = TEMPLATE.read_text()
    for name, text in parts.items():
        page = page.replace(f"{{{{{name}}}}}", text)
    PAGE.write_text(page)
    draw(drives)

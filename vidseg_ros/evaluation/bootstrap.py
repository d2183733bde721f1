"""How sure a figure is, and whether the difference of two checkpoints is real: the bootstrap (Efron 1979)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidseg_ros.evaluation.counts import FIGURES, LOWER_IS_BETTER, Counts, figures, total
from vidseg_ros.evaluation.scores import VideoScores
from vidseg_ros.labels import LabelSet

RESAMPLES = 1000
CONFIDENCE = 95  # percent
FEW = 5  # recordings below which they are cut into blocks; blocks below which nothing is certain
UNITS = 12  # into which they are cut then, all together
SEED = 0

RecordingCounts = Sequence[Sequence[Counts]]
"""The blocks of every recording."""


@dataclass(frozen=True)
class Interval:
    """A figure or difference, and the bounds between which it lies with CONFIDENCE.

    None: not measured; bounds of too little to tell.
    """

    value: float | None
    low: float | None
    high: float | None

    @property
    def excludes_zero(self) -> bool:
        """Whether chance can be ruled out as the reason of a difference."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Comparison:
    """Intervals by figure: of each checkpoint, and of the second one's figures minus the first one's."""

    checkpoints: list[dict[str, Interval]]
    difference: dict[str, Interval]
    units: int
    cut: bool  # whether recordings were cut into blocks


def compare(checkpoints: Sequence[RecordingCounts], labels: LabelSet) -> Comparison:
    """Resample what one or two checkpoints did on the same recordings, paired; the same input gives the same result."""
    units = [_units(recordings) for recordings in checkpoints]
    draws = np.random.default_rng(SEED).multinomial(len(units[0]), np.full(len(units[0]), 1 / len(units[0])), RESAMPLES)
    values = [_values(unit, draws, labels) for unit in units]
    difference = values[1] - values[0] if len(values) > 1 else np.full_like(values[0], np.nan)
    intervals = [_intervals(value, len(units[0]) >= FEW) for value in (*values, difference)]
    return Comparison(intervals[:-1], intervals[-1], len(units[0]), len(checkpoints[0]) < FEW)


def _units(recordings: RecordingCounts) -> list[Counts]:
    """Counts of what is drawn: recordings, or pieces of them where there are few."""
    if len(recordings) >= FEW:
        return [total(blocks) for blocks in recordings]
    pieces = -(-UNITS // len(recordings))
    cuts = (np.array_split(np.arange(len(blocks)), min(pieces, len(blocks))) for blocks in recordings)
    return [total([blocks[i] for i in cut]) for blocks, parts in zip(recordings, cuts, strict=True) for cut in parts]


def _values(units: Sequence[Counts], draws: NDArray[np.int64], labels: LabelSet) -> NDArray[np.float64]:
    """Figures of all units, and then those of each draw: (1 + draws, figures)."""
    weights = torch.from_numpy(np.vstack([np.ones(len(units), np.int64), draws]))
    sums = {
        name: {state: _sums(torch.stack([unit[name][state] for unit in units]), weights) for state in states}
        for name, states in units[0].items()
    }
    scores, rows = VideoScores(labels), []
    for row in range(len(weights)):
        drawn = {name: {state: value[row] for state, value in states.items()} for name, states in sums.items()}
        values = figures(drawn, scores)
        rows.append([values[name].item() for name in FIGURES])
    return np.array(rows)


def _sums(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums (draws, ...) of the values (units, ...)."""
    flat = weights.to(values.dtype) @ values.flatten(1) if values.ndim > 1 else weights.to(values.dtype) @ values
    return flat.view(len(weights), *values.shape[1:])


def _intervals(values: NDArray[np.float64], bounded: bool) -> dict[str, Interval]:
    margin = (100 - CONFIDENCE) / 2
    intervals = {}
    for name, (value, *drawn) in zip(FIGURES, values.T, strict=True):
        kept = np.array(drawn)[~np.isnan(drawn)]
        low, high = np.percentile(kept, [margin, 100 - margin]) if bounded and len(kept) else (np.nan, np.nan)
        intervals[name] = Interval(*(None if np.isnan(x) else round(float(x), 3) for x in (value, low, high)))
    return intervals


def verdict(comparison: Comparison, first: str, second: str) -> str:
    """Say in a sentence or two whether the difference is real."""
    better, worse, open_ = [], [], []
    for name, interval in comparison.difference.items():
        if interval.value is None:
            continue
        if not interval.excludes_zero:
            open_.append(FIGURES[name])
        elif (interval.value < 0) == (name in LOWER_IS_BETTER):
            better.append(FIGURES[name])
        else:
            worse.append(FIGURES[name])
    kinds = (("better", better), ("worse", worse))
    real = " and ".join(f"{kind} in {', '.join(names)}" for kind, names in kinds if names)
    certain = f"The difference is real: {second} is {real} than {first}." if real else "No difference is certain."
    chance = f" Chance may explain the difference in {', '.join(open_)}." if open_ else ""
    return f"{certain}{chance} {_basis(comparison)}"


def _basis(comparison: Comparison) -> str:
    if comparison.units < FEW:
        return f"(Too few frames to tell: {comparison.units}.)"
    of = "pieces into which the few recordings were cut" if comparison.cut else "recordings"
    caution = "; neighbouring pieces are alike, so the intervals are rather too narrow" if comparison.cut else ""
    return f"({CONFIDENCE} % confidence, from {RESAMPLES} resamples of {comparison.units} {of}{caution}.)"

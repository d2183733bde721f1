"""The line that the middle of a street follows: bends, without end and without meeting itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from vidseg_ros.simulation.polygons import Floats
from vidseg_ros.simulation.seeding import seeded_rng

PERIOD = 600.0
"""Length after which the bends repeat, m."""

STEP = 0.25
"""Spacing of the places that are worked out, m."""

WAVES = ((1, 0.3), (2, 0.5), (5, 0.2))
"""Bends in one period, and their share of the strongest curvature."""

TIGHTEST = 0.012
"""Strongest curvature, 1/m: the world is drawn to 75 m beside the road and must not fold over."""


@dataclass(frozen=True)
class Road:
    """A middle line whose curvature stays within ``bend`` (1/m); ``seed`` says where its bends lie.

    Street coordinates are metres along the line and, to its left, across it.
    """

    bend: float
    seed: int

    def heading(self, along: ArrayLike) -> Floats:
        """The direction of the line, rad to the left of +x, at each place along it."""
        return sum((size * np.sin(rate * np.asarray(along) + start) for size, rate, start in self._waves), np.zeros(()))

    def curvature(self, along: float) -> float:
        """The curvature, 1/m, positive to the left."""
        return float(sum(size * rate * np.cos(rate * along + start) for size, rate, start in self._waves))

    def place(self, along: ArrayLike, across: ArrayLike) -> Floats:
        """The places x, y (m) of street coordinates of one shape (...), float64 (..., 2)."""
        along, across = np.asarray(along, np.float64), np.asarray(across, np.float64)
        if not self.bend:
            return np.stack([along, across], -1)
        rounds, rest = np.divmod(along, PERIOD)
        marks, places = self._table
        heading = self.heading(along)
        middle = (np.interp(rest, marks, places[:, i]) + rounds * places[-1, i] for i in (0, 1))
        x, y = middle
        return np.stack([x - across * np.sin(heading), y + across * np.cos(heading)], -1)

    @cached_property
    def _waves(self) -> list[tuple[float, float, float]]:
        rates = [2 * np.pi * count / PERIOD for count, _ in WAVES]
        starts = seeded_rng(self.seed, 9).uniform(0, 2 * np.pi, len(WAVES)).tolist()
        sizes = [self.bend * share / rate for rate, (_, share) in zip(rates, WAVES, strict=True)]
        return list(zip(sizes, rates, starts, strict=True))

    @cached_property
    def _table(self) -> tuple[Floats, Floats]:
        """Add up one period by the rule of the midpoint."""
        marks = np.arange(0, PERIOD + STEP / 2, STEP)
        heading = self.heading(marks[:-1] + STEP / 2)
        steps = STEP * np.stack([np.cos(heading), np.sin(heading)], 1)
        return marks, np.concatenate([np.zeros((1, 2)), np.cumsum(steps, 0)])

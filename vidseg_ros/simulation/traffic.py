"""Everybody who moves: endless rows of slots that drive, ride or walk along the street."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from vidseg_ros.simulation.cars import car
from vidseg_ros.simulation.people import cyclist, person
from vidseg_ros.simulation.polygons import Builder, Polygons
from vidseg_ros.simulation.seeding import seeded_rng
from vidseg_ros.simulation.shapes import Rng
from vidseg_ros.simulation.street import LANE, Street

HEADWAY = 20.0
"""Least distance of the first car ahead of a vehicle that shares the street, at the start, m."""

FIRST_MOVER = 2
"""First row of the travellers among the poses, after STATIC and CAMERA."""


@dataclass(frozen=True)
class Stream:
    """An endless row of slots that drive along x together; each holds one traveller or none."""

    spacing: float
    velocity: float
    chance: float
    make: Callable[[Builder, Rng], None]  # adds the traveller at x = 0
    crosses: float = 0.0  # half the way it walks across the street, 0 for not at all
    least: float = -math.inf  # nobody starts before this x, m


@dataclass(frozen=True)
class Traveller:
    """One filled slot: its polygons about x = 0 and where it starts."""

    stream: Stream
    polygons: Polygons
    start: float
    phase: float

    def position(self, time: float, pace: float) -> tuple[float, float]:
        """The motion (x, y) at ``time``; ``pace`` is the speed of the camera's own drive, m/s."""
        x = self.start + self.stream.velocity * time
        if not self.stream.crosses:
            return x, 0.0
        # back and forth over the road every 50 s, done about two seconds before the camera's own drive comes by
        way = 2 * self.stream.crosses
        turn = (time - self.start / pace + way / 1.3 + self.phase) / 25.0
        share = min((turn % 1.0) * 25.0 * 1.3 / way, 1.0)
        forth = share if turn % 2 < 1 else 1 - share
        return x, self.stream.crosses * (2 * forth - 1)


def draw_streams(street: Street, pace: float, shared: bool) -> tuple[Stream, ...]:
    """The traffic of ``street`` for a camera that drives at ``pace`` m/s.

    With ``shared``, the camera is on a vehicle that may brake: nobody who would not is behind it in its lane, and no
    bicycle is beside it.
    """
    rng, right = seeded_rng(street.seed, 4), street.right

    def drives(y: float, ahead: int) -> Callable[[Builder, Rng], None]:
        return lambda b, r: car(b, r, (0, y + r.uniform(-0.2, 0.2)), ahead, FIRST_MOVER)

    def rides(y: float) -> Callable[[Builder, Rng], None]:
        return lambda b, r: cyclist(b, r, y + r.uniform(-0.15, 0.15), FIRST_MOVER)

    def walks(y: float, stride: float) -> Callable[[Builder, Rng], None]:
        return lambda b, r: person(b, r, y + r.uniform(-0.5, 0.5) * (stride < 0.2), stride, FIRST_MOVER)

    busy = rng.uniform(0.3, 0.8)
    edge, path = street.lanes * LANE - 0.35, street.kerb + 1.75
    streams = [
        Stream(45.0, pace, 0.55, drives(street.lane, 1), least=HEADWAY if shared else -math.inf),
        Stream(rng.uniform(22, 35), -rng.uniform(7, 13), busy, drives(-street.lane, -1)),
        Stream(55.0, 4.2, 0.0 if shared else 0.5, rides(-right * edge)),
        Stream(70.0, -4.6, 0.5, rides(right * edge)),
        Stream(36.0, 0.0, 0.6, walks(0.0, 0.42), crosses=street.kerb + 0.8),
    ]
    if street.lanes > 1:
        streams.append(Stream(40.0, pace * 1.35, busy, drives(-right * LANE / 2, 1)))
        streams.append(Stream(34.0, -rng.uniform(11, 15), busy, drives(right * LANE / 2, -1)))
    for side in (-1, 1):
        streams += [Stream(rng.uniform(10, 22), v, 0.6, walks(side * path, 0.1)) for v in (-1.35, 1.1)]
        streams.append(Stream(rng.uniform(14, 30), 0.0, 0.4, walks(side * (path + 0.5), 0.02)))
    return tuple(streams)

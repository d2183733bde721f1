"""All that a camera may see from one place of the endless street at one time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.simulation.chunk import CHUNK, draw_chunk
from vidseg_ros.simulation.polygons import Builder, Floats, Polygons, join
from vidseg_ros.simulation.sky import draw_dome
from vidseg_ros.simulation.street import draw_street, lot
from vidseg_ros.simulation.traffic import FIRST_MOVER, Stream, Traveller, draw_streams

AHEAD, BEHIND = 180.0, 20.0
"""How far from the camera things exist, m."""


@dataclass(frozen=True)
class View:
    """All polygons near a place, and who moves among them."""

    polygons: Polygons
    travellers: tuple[Traveller, ...]
    pace: float

    def motion(self, time: float, camera: Floats) -> Floats:
        """Return the motion table, (rows, 3) m, at ``time`` for a camera at ``camera`` (3,)."""
        moved = [traveller.position(time, self.pace) for traveller in self.travellers]
        return np.asarray([(0.0, 0.0, 0.0), tuple(camera), *moved])


Slots = tuple[tuple[int, int], ...]


class Scene:
    """The street of one seed. Keeps only what lay near the last few places asked for."""

    def __init__(self, seed: int, pace: float) -> None:
        self.street = draw_street(seed)
        self._pace = pace
        self._streams = draw_streams(self.street, pace)
        self._dome = draw_dome(self.street)
        self._chunk = lru_cache(maxsize=24)(self._draw_chunk)
        self._traveller = lru_cache(maxsize=512)(self._draw_traveller)
        self._standing = lru_cache(maxsize=2)(self._join_chunks)
        self._view = lru_cache(maxsize=2)(self._join_all)

    def near(self, x: float, time: float, backward: bool) -> View:
        """Return what a camera at ``x`` may see at ``time``; ``backward`` if it looks along -x."""
        low, high = (x - AHEAD, x + BEHIND) if backward else (x - BEHIND, x + AHEAD)
        slots = [
            (number, slot)
            for number, stream in enumerate(self._streams)
            for slot in _slots(stream, low - stream.velocity * time, high - stream.velocity * time)
            if self._traveller(number, slot)
        ]
        return self._view(int(low // CHUNK), int(high // CHUNK), tuple(slots))

    def _draw_chunk(self, index: int) -> Polygons:
        return draw_chunk(self.street, index)

    def _draw_traveller(self, number: int, slot: int) -> Traveller | None:
        rng, stream = lot(self.street.seed, 5, number, slot), self._streams[number]
        if rng.random() > stream.chance:
            return None
        builder = Builder()
        stream.make(builder, rng)
        start = (slot + rng.uniform(0.35, 0.7)) * stream.spacing
        return Traveller(stream, builder.finish(), float(start), float(rng.uniform(1.5, 4)))

    def _join_chunks(self, first: int, last: int) -> Polygons:
        return join([self._dome, *(self._chunk(index) for index in range(first, last + 1))])

    def _join_all(self, first: int, last: int, slots: Slots) -> View:
        found = [self._traveller(*slot) for slot in slots]
        travellers = tuple(traveller for traveller in found if traveller)
        polygons = join([self._standing(first, last), *(traveller.polygons for traveller in travellers)])
        polygons.mover[:] = _rows(len(self._standing(first, last)), polygons.mover, travellers)
        return View(polygons, travellers, self._pace)


def _rows(standing: int, mover: NDArray[np.intp], travellers: tuple[Traveller, ...]) -> NDArray[np.intp]:
    counts = [len(traveller.polygons) for traveller in travellers]
    rows = FIRST_MOVER + np.repeat(np.arange(len(counts)), counts)
    return np.concatenate([mover[:standing], rows]).astype(np.intp)


def _slots(stream: Stream, low: float, high: float) -> range:
    return range(int(low // stream.spacing) - 1, int(high // stream.spacing) + 1)

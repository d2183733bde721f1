"""All that a camera may see from one place of the endless street at one time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.simulation.chunk import CHUNK, draw_chunk
from vidseg_ros.simulation.polygons import Builder, Polygons, join
from vidseg_ros.simulation.projection import MoverPoses, PinholeCamera
from vidseg_ros.simulation.road import Road
from vidseg_ros.simulation.seeding import seeded_rng
from vidseg_ros.simulation.sky import draw_dome
from vidseg_ros.simulation.street import Street
from vidseg_ros.simulation.traffic import FIRST_MOVER, Stream, Traveller, draw_streams

AHEAD, BEHIND = 180.0, 20.0
"""How far from the camera things exist, m."""


@dataclass(frozen=True)
class Surroundings:
    """All polygons near a place, and who moves among them."""

    polygons: Polygons
    travellers: tuple[Traveller, ...]
    pace: float
    road: Road

    def places(self, time: float) -> list[tuple[float, float]]:
        """The street coordinates of the travellers at ``time``."""
        return [traveller.position(time, self.pace) for traveller in self.travellers]

    def poses(self, time: float, camera: PinholeCamera) -> MoverPoses:
        """How far everything has moved at ``time``, for the sky of ``camera``."""
        street = np.asarray([(0.0, 0.0), tuple(camera.street), *self.places(time)])
        world, turn = np.zeros((len(street), 3)), np.zeros(len(street))
        world[:, :2], turn[FIRST_MOVER:] = self.road.place(*street.T), self.road.heading(street[FIRST_MOVER:, 0])
        world[:FIRST_MOVER] = (0.0, 0.0, 0.0), camera.place
        return MoverPoses(world, street, turn)


Slots = tuple[tuple[int, int], ...]


class StreetModel:
    """The street of one seed. Keeps only what lay near the last few places asked for."""

    def __init__(self, street: Street, road: Road, pace: float, shared: bool) -> None:
        self.street, self.road = street, road
        self._pace = pace
        self._streams = draw_streams(street, pace, shared)
        self._dome = draw_dome(self.street)
        self._chunk = lru_cache(maxsize=24)(self._draw_chunk)
        self._traveller = lru_cache(maxsize=512)(self._draw_traveller)
        self._standing = lru_cache(maxsize=2)(self._join_chunks)
        self._view = lru_cache(maxsize=2)(self._join_all)

    def near(self, x: float, time: float, backward: bool) -> Surroundings:
        """What a camera at ``x`` may see at ``time``; ``backward`` if it looks along -x."""
        low, high = (x - AHEAD, x + BEHIND) if backward else (x - BEHIND, x + AHEAD)
        slots = [
            (number, slot)
            for number, stream in enumerate(self._streams)
            for slot in _slots(stream, low - stream.velocity * time, high - stream.velocity * time)
            if self._traveller(number, slot)
        ]
        return self._view(int(low // CHUNK), int(high // CHUNK), tuple(slots))

    def _draw_chunk(self, index: int) -> Polygons:
        chunk = draw_chunk(self.street, index)
        return chunk.bent(self.road.place) if self.road.bend else chunk

    def _draw_traveller(self, number: int, slot: int) -> Traveller | None:
        rng, stream = seeded_rng(self.street.seed, 5, number, slot), self._streams[number]
        if rng.random() > stream.chance:
            return None
        builder = Builder()
        stream.make(builder, rng)
        start = (slot + rng.uniform(0.35, 0.7)) * stream.spacing
        if start < stream.least:
            return None
        return Traveller(stream, builder.finish(), float(start), float(rng.uniform(1.5, 4)))

    def _join_chunks(self, first: int, last: int) -> Polygons:
        return join([self._dome, *(self._chunk(index) for index in range(first, last + 1))])

    def _join_all(self, first: int, last: int, slots: Slots) -> Surroundings:
        found = [self._traveller(*slot) for slot in slots]
        travellers = tuple(traveller for traveller in found if traveller)
        polygons = join([self._standing(first, last), *(traveller.polygons for traveller in travellers)])
        polygons.mover[:] = _rows(len(self._standing(first, last)), polygons.mover, travellers)
        return Surroundings(polygons, travellers, self._pace, self.road)


def _rows(standing: int, mover: NDArray[np.intp], travellers: tuple[Traveller, ...]) -> NDArray[np.intp]:
    counts = [len(traveller.polygons) for traveller in travellers]
    rows = FIRST_MOVER + np.repeat(np.arange(len(counts)), counts)
    return np.concatenate([mover[:standing], rows]).astype(np.intp)


def _slots(stream: Stream, low: float, high: float) -> range:
    return range(int(low // stream.spacing) - 1, int(high // stream.spacing) + 1)

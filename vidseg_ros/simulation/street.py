"""What is the same along a whole street, drawn by lot from the seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidseg_ros.simulation.polygons import Color, Floats
from vidseg_ros.simulation.seeding import seeded_rng

LANE = 3.3
"""Width of a lane, m."""

PARKING = 1.8
"""Least width of a strip in which cars park, m."""


@dataclass(frozen=True)
class Street:
    """What is the same along the whole street; metres, lengths of wave in m."""

    seed: int
    lanes: int  # in each direction
    right: int  # 1 if one drives on the right, -1 on the left
    parking: float  # width of the strip beside the lanes; below PARKING nobody parks there
    pavement: float
    urban: float  # 0 garden suburb .. 1 inner city
    storeys: float
    leaf: Color
    asphalt: Color
    slabs: Color
    sun: tuple[float, float]  # height above the horizon and azimuth from +x to the left, rad
    clear: float  # 0 overcast .. 1 sunny

    @property
    def kerb(self) -> float:
        """Half the width of the road."""
        return self.lanes * LANE + self.parking

    @property
    def facade(self) -> float:
        """Distance of the building line from the middle of the road."""
        return self.kerb + self.pavement

    @property
    def lane(self) -> float:
        """Y of the middle of the camera's lane."""
        return -self.right * (self.lanes - 0.5) * LANE

    @property
    def to_sun(self) -> Floats:
        """Unit vector (3,) towards the sun."""
        height, azimuth = self.sun
        return np.asarray([np.cos(height) * np.cos(azimuth), np.cos(height) * np.sin(azimuth), np.sin(height)])

    @property
    def shadow(self) -> Floats:
        """Where (x, y) the shade of a point one metre up falls; nothing under an overcast sky."""
        return np.asarray(-self.to_sun[:2] / self.to_sun[2] * (self.clear > 0.35))

    def built_up(self, x: float) -> float:
        """How dense the street is around ``x``, 0..1."""
        wave = 0.25 * np.sin(x / 90 + self.seed) + 0.2 * np.sin(x / 37 + 2.3 * self.seed)
        return float(np.clip(self.urban + wave, 0, 1))


def draw_street(seed: int) -> Street:
    """Draw the traits of a whole street by lot."""
    rng = seeded_rng(seed, 1)
    leaves: tuple[Color, ...] = ((0.22, 0.33, 0.12), (0.17, 0.27, 0.12), (0.36, 0.34, 0.13), (0.28, 0.36, 0.18))
    gray, slab = rng.uniform(0.24, 0.4), rng.uniform(0.42, 0.62)
    return Street(
        seed=seed,
        lanes=1 + int(rng.random() < 0.3),
        right=1 if rng.random() < 0.5 else -1,
        parking=float(rng.uniform(2.0, 2.4) if rng.random() < 0.6 else rng.uniform(0.3, 0.6)),
        pavement=float(rng.uniform(2.8, 5.5)),
        urban=float(rng.uniform(0.2, 0.9)),
        storeys=float(rng.uniform(2.0, 5.5)),
        leaf=leaves[int(rng.integers(len(leaves)))],
        asphalt=(gray, gray * 0.99, gray * rng.uniform(0.95, 1.05)),
        slabs=(slab, slab * 0.97, slab * rng.uniform(0.85, 0.97)),
        sun=(float(rng.uniform(0.35, 1.1)), float(rng.uniform(-np.pi, np.pi))),
        clear=float(rng.uniform(0, 1)),
    )

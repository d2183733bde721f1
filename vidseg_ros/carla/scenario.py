"""What the F2F paper recorded in CARLA (supplement, Table 3)."""

from __future__ import annotations

from dataclasses import dataclass

from vidseg_ros.errors import UserError
from vidseg_ros.simulation.seeding import seeded_rng

FPS = 17.0
FRAMES = 30
SETTLE = (3.0, 10.0)  # s from spawning the camera vehicle to the first frame, drawn by lot


@dataclass(frozen=True)
class Town:
    """How many places the camera vehicle starts from, and how much traffic there is."""

    spawn_points: int
    vehicles: int


TOWNS = {
    "Town01": Town(130, 150),
    "Town02": Town(70, 80),
    "Town03": Town(100, 300),
    "Town04": Town(100, 300),
    "Town05": Town(120, 300),  # for validation
}
WEATHERS = {
    1: "ClearNoon",
    2: "CloudyNoon",
    3: "WetNoon",
    4: "WetCloudyNoon",
    7: "SoftRainNoon",
    8: "ClearSunset",
    9: "CloudySunset",
    10: "WetSunset",
    11: "WetCloudySunset",
}
"""Numbers of the paper, which are CARLA's own, and the names of the presets."""


@dataclass(frozen=True)
class Scene:
    """One recording: where it starts and the number of its weather."""

    town: str
    spawn: int
    weather: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.town}_{self.spawn:03d}_{self.weather:02d}"

    def settle(self, seed: int) -> float:
        """Seconds until recording starts."""
        town = sorted(TOWNS).index(self.town)
        return float(seeded_rng(seed, 10, town, self.spawn, self.weather).uniform(*SETTLE))


def scenes(towns: list[str]) -> list[Scene]:
    """All scenes of ``towns``, a town after the other. Raises UserError for one the paper did not record."""
    for town in towns:
        if town not in TOWNS:
            raise UserError(f"town '{town}' is not one of the scenario; use {', '.join(TOWNS)}")
    return [
        Scene(town, spawn, weather)
        for town in towns
        for spawn in range(TOWNS[town].spawn_points)
        for weather in WEATHERS
    ]

"""A drive through the street world with somebody at the wheel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vidseg_ros.driving.control import Control
from vidseg_ros.errors import UserError
from vidseg_ros.simulation.polygons import STATIC, Floats, Layer
from vidseg_ros.simulation.projection import PinholeCamera
from vidseg_ros.simulation.road import TIGHTEST
from vidseg_ros.simulation.street import LANE
from vidseg_ros.simulation.street_model import Surroundings
from vidseg_ros.simulation.street_world import Pose, StreetWorld, StreetWorldConfig, WorldFrame
from vidseg_ros.simulation.vehicle import CAMERA_AHEAD, LENGTH, Vehicle, overlaps

Box = tuple[float, float, float, float]

POST = 0.1  # half the width of what is drawn as a line, m
CAMERA_HEIGHT = 1.4  # m
TRAFFIC_SPEED = 8.0  # m/s

DRIVE = StreetWorldConfig(seed=1, bend=TIGHTEST, speed=TRAFFIC_SPEED, flicker=0.04, shared=True)
"""The street of a drive, unless told otherwise: bends, others who make room, and a camera whose exposure flickers."""


@dataclass(frozen=True)
class Obstacle:
    """Something that may be run into: its class, its box in street coordinates (m), and what tells it from others."""

    label: int
    box: Box
    key: tuple[float, ...]


class Drive:
    """The street, a vehicle in its right lane, and what happens to it; follows from configuration and control alone.

    ``index`` counts the frame periods since the start.
    """

    def __init__(self, config: StreetWorldConfig = DRIVE) -> None:
        if not config.shared:
            raise UserError("a drive needs a street that others share with it; set 'shared' of the street world")
        self.world = StreetWorld(config)
        self.lane = self.world.lane
        self.index, self.collisions = 0, 0
        self.vehicle = Vehicle(0.0, self.lane, speed=config.speed)
        self._touching: set[tuple[float, ...]] = set()

    @property
    def time(self) -> float:
        """Seconds since the start."""
        return self.index / self.world.config.fps

    @property
    def cross_track(self) -> float:
        """How far the vehicle's rear axle is to the left of the middle of its lane, m."""
        return self.vehicle.across - self.lane

    @property
    def in_lane(self) -> bool:
        """Whether the whole body is between the lines of the lane."""
        return all(abs(across - self.lane) <= LANE / 2 for _, across in self.vehicle.outline())

    def frame(self) -> WorldFrame:
        """What the camera sees now."""
        return self.world.render(self._pose(), self.time)

    @property
    def camera(self) -> PinholeCamera:
        """The camera, where it is now."""
        return self.world.camera(self._pose())

    def step(self, control: Control) -> None:
        """Let one frame period pass, and count what the vehicle runs into."""
        self.vehicle = self.vehicle.moved(control, self.world.road, 1 / self.world.config.fps)
        self.index += 1
        touching = {obstacle.key for obstacle in self.contacts()}
        self.collisions += len(touching - self._touching)
        self._touching = touching

    def contacts(self) -> list[Obstacle]:
        """Everything that the vehicle touches now."""
        obstacles = self._obstacles()
        if not obstacles:
            return []
        hit = overlaps(np.asarray(self.vehicle.outline()), np.asarray([obstacle.box for obstacle in obstacles]))
        return [obstacle for obstacle, touched in zip(obstacles, hit.tolist(), strict=True) if touched]

    def _pose(self) -> Pose:
        drawn = self.world.drive(self.vehicle.along / self.world.config.speed)  # the bumps of the road
        x, y = self.vehicle.point(CAMERA_AHEAD)
        return replace(drawn, x=x, y=y, heading=self.vehicle.heading, height=CAMERA_HEIGHT)

    def _obstacles(self) -> list[Obstacle]:
        """What stands or moves near the vehicle."""
        x, _ = self.vehicle.point(0.0)
        around = self.world.surroundings(x, self.time)
        moved = around.places(self.time)
        standing = _standing(around, x - LENGTH, x + LENGTH)
        return standing + [
            Obstacle(int(t.polygons.label[0]), _box(t.polygons.footprint[0] + np.tile(place, 2)), (t.start, t.phase))
            for t, place in zip(around.travellers, moved, strict=True)
        ]


class DriveRecord:
    """How a drive went, by a look after each step."""

    def __init__(self) -> None:
        self._errors: list[float] = []
        self._in_lane: list[bool] = []

    def add(self, drive: Drive) -> None:
        """Look at where the vehicle is."""
        self._errors.append(abs(drive.cross_track))
        self._in_lane.append(drive.in_lane)

    def figures(self, drive: Drive) -> dict[str, Any]:
        """The figures: metres, percent of the time wholly in the lane, and how many things were hit."""
        errors = self._errors or [0.0]
        return {
            "completed_m": round(drive.vehicle.along, 2),
            "cross_track_m": {f"p{p}": round(float(np.percentile(errors, p)), 3) for p in (50, 95)},
            "in_lane": round(100 * float(np.mean(self._in_lane or [True])), 2),
            "collisions": drive.collisions,
        }


def _standing(around: Surroundings, low: float, high: float) -> list[Obstacle]:
    polygons = around.polygons
    near = (polygons.mover == STATIC) & (polygons.layer >= Layer.BACK)
    near &= (polygons.footprint[:, 2] > low) & (polygons.footprint[:, 0] < high)
    boxes, first = np.unique(polygons.footprint[near], axis=0, return_index=True)
    labels = polygons.label[near][first].tolist()
    return [Obstacle(label, _box(box), tuple(box)) for label, box in zip(labels, boxes, strict=True)]


def _box(footprint: Floats) -> Box:
    """Give a body to what is drawn flat."""
    thin = np.repeat(np.maximum(POST - (footprint[2:] - footprint[:2]) / 2, 0)[None], 2, 0) * [[-1], [1]]
    x0, y0, x1, y1 = (footprint + thin.ravel()).tolist()
    return x0, y0, x1, y1

"""A drive through the street world with somebody at the wheel."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vidseg_ros.driving.control import Control
from vidseg_ros.errors import UserError
from vidseg_ros.simulation.polygons import STATIC, Floats, Layer
from vidseg_ros.simulation.projection import PinholeCamera
from vidseg_ros.simulation.road import TIGHTEST
from vidseg_ros.simulation.street import LANE
from vidseg_ros.simulation.street_model import Surroundings
from vidseg_ros.simulation.street_world import Pose, StreetWorld, StreetWorldConfig, WorldFrame
from vidseg_ros.simulation.vehicle import CAMERA_AHEAD, LENGTH, OVERHANG, Vehicle, overlaps

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

    def in_the_way(self, within: float, half: float) -> bool:
        """Whether anybody is ``within`` metres ahead of the vehicle and ``half`` m about the middle of its lane."""
        front, _ = self.vehicle.point(LENGTH - OVERHANG)
        around = self.world.surroundings(front, self.time)
        boxes = np.asarray([obstacle.box for obstacle in _travellers(around, self.time)]).reshape(-1, 4)
        ahead = (boxes[:, 2] > front) & (boxes[:, 0] < front + within)
        return bool((ahead & (boxes[:, 3] > self.lane - half) & (boxes[:, 1] < self.lane + half)).any())

    def _pose(self) -> Pose:
        drawn = self.world.drive(self.vehicle.along / self.world.config.speed)  # the bumps of the road
        x, y = self.vehicle.point(CAMERA_AHEAD)
        return replace(drawn, x=x, y=y, heading=self.vehicle.heading, height=CAMERA_HEIGHT)

    def _obstacles(self) -> list[Obstacle]:
        """What stands or moves near the vehicle."""
        x, _ = self.vehicle.point(0.0)
        around = self.world.surroundings(x, self.time)
        return _standing(around, x - LENGTH, x + LENGTH) + _travellers(around, self.time)


def _travellers(around: Surroundings, time: float) -> list[Obstacle]:
    return [
        Obstacle(int(t.polygons.label[0]), _box(t.polygons.footprint[0] + np.tile(place, 2)), (t.start, t.phase))
        for t, place in zip(around.travellers, around.places(time), strict=True)
    ]


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

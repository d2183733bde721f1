"""A car on the street: the kinematic bicycle model in street coordinates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.driving.control import Control
from vidseg_ros.simulation.polygons import Floats
from vidseg_ros.simulation.road import Road

LENGTH, WIDTH = 4.2, 1.8
WHEELBASE = 2.7
OVERHANG = 0.75  # of the body behind the rear axle, m
CAMERA_AHEAD = 1.5  # of the rear axle, m

MAX_STEER = 0.6  # angle of the front wheels at steer 1, rad
STEER_RATE = 0.8  # rad/s
THRUST, BRAKING = 3.0, 7.0  # m/s^2 at full pedal
PEDAL_LAG = 0.15  # time constant of engine and brakes, s
DRAG = 0.02  # 1/s, of the speed
LONGEST_STEP = 0.02  # s


@dataclass(frozen=True)
class Vehicle:
    """State of the car: where its rear axle is (m along the street and to the left of its middle), and how it moves."""

    along: float
    across: float
    heading: float = 0.0  # rad to the left of the street's direction
    speed: float = 0.0  # m/s, never backwards
    wheel: float = 0.0  # angle of the front wheels, rad to the left
    thrust: float = 0.0  # m/s^2

    @property
    def yaw_rate(self) -> float:
        """Turning, rad/s to the left."""
        return self.speed * math.tan(self.wheel) / WHEELBASE

    def point(self, ahead: float, left: float = 0.0) -> tuple[float, float]:
        """The street coordinates of a point of the body; the street is taken for straight over its length."""
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        return self.along + ahead * cos - left * sin, self.across + ahead * sin + left * cos

    def outline(self) -> list[tuple[float, float]]:
        """The corners of the body in street coordinates, in a round."""
        rear, front, side = -OVERHANG, LENGTH - OVERHANG, WIDTH / 2
        return [self.point(*corner) for corner in ((rear, -side), (front, -side), (front, side), (rear, side))]

    def moved(self, control: Control, road: Road, seconds: float) -> Vehicle:
        """The vehicle ``seconds`` later."""
        steps = max(math.ceil(seconds / LONGEST_STEP), 1)
        vehicle = self
        for _ in range(steps):
            vehicle = vehicle._step(control, road, seconds / steps)
        return vehicle

    def _step(self, control: Control, road: Road, dt: float) -> Vehicle:
        """Take one step of Euler: the bicycle model of the rear axle, seen from the curved middle line."""
        turn = STEER_RATE * dt
        wheel = self.wheel + min(max(-control.steer * MAX_STEER - self.wheel, -turn), turn)
        wanted = control.throttle * THRUST - control.brake * BRAKING
        thrust = self.thrust + (wanted - self.thrust) * min(dt / PEDAL_LAG, 1.0)
        speed = max(self.speed + (thrust - DRAG * self.speed) * dt, 0.0)
        curvature = road.curvature(self.along)
        progress = speed * math.cos(self.heading) / max(1 - self.across * curvature, 0.05)
        heading = self.heading + (speed * math.tan(wheel) / WHEELBASE - curvature * progress) * dt
        across = self.across + speed * math.sin(self.heading) * dt
        return Vehicle(self.along + progress * dt, across, math.remainder(heading, math.tau), speed, wheel, thrust)


def overlaps(outline: Floats, boxes: Floats) -> NDArray[np.bool_]:
    """Which ``boxes`` (N, 4: x0, y0, x1, y1) a rectangle (4, 2) touches, bool (N,), by separating axes."""
    low, high = outline.min(0), outline.max(0)
    apart: NDArray[np.bool_] = (boxes[:, :2] > high).any(1) | (boxes[:, 2:] < low).any(1)
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    for axis in (outline[1] - outline[0], outline[3] - outline[0]):
        own, other = outline @ axis, corners @ axis
        apart |= (other.min(1) > own.max()) | (other.max(1) < own.min())
    return ~apart

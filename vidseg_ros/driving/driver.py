"""Keeps a vehicle in its lane, and off whoever is in it, by label images alone.

Nothing is planned and nothing predicted: what the labels show wrong or late shows in the driving. That is the purpose.
Wheel and pedals move no faster than a hand and a foot, and one image alone stops nobody; so flicker shakes the vehicle
the more, the more there is of it.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.driving.class_roles import ClassRoles
from vidseg_ros.driving.control import FULL_STOP, Control
from vidseg_ros.driving.ground import GroundCamera
from vidseg_ros.driving.lane import LaneFinder, Middle
from vidseg_ros.driving.obstacles import Corridor, free_distance
from vidseg_ros.driving.pid import Gains, Pid
from vidseg_ros.labels import LabelSet
from vidseg_ros.schema import require_positive

STEERING = Gains(proportional=1.0, integral=0.05, derivative=0.12)  # of the curvature that leads back, 1/m
PEDALS = Gains(proportional=0.5, integral=0.05, limit=0.2)  # of the speed, m/s
WITNESSES = 3  # images of which most must show that somebody is in the way, or that nobody is


@dataclass(frozen=True)
class DriverConfig:
    """How to drive, and in what."""

    cruise: float = 9.0  # m/s
    lane: float = -1.65  # m to the left of the middle of the drivable area at which to drive; negative: to the right
    look_ahead: float = 0.55  # s ahead at which to aim
    least_look_ahead: float = 4.5  # m
    wheelbase: float = 2.7  # m
    max_steer: float = 0.6  # angle of the wheels at steer 1, rad
    camera_ahead: float = 1.5  # of the rear axle, m
    vehicle_half: float = 1.15  # half the width that must be free of vehicles, m
    people_half: float = 1.7  # half the width that must be free of people, m
    gap: float = 5.0  # between the camera and where to stop, m
    braking: float = 3.0  # that is planned with, m/s^2
    cornering: float = 2.5  # sideways, m/s^2
    wheel_rate: float = 0.5  # of the angle of the wheels, at most, rad/s
    pedal_rate: float = 4.0  # at which a pedal is pressed, at most, 1/s
    max_age: float = 1.0  # of the last label image, s; then the vehicle stops

    def __post_init__(self) -> None:
        positive = ["cruise", "look_ahead", "least_look_ahead", "wheelbase", "max_steer", "braking", "cornering"]
        positive += ["wheel_rate", "pedal_rate", "max_age"]
        require_positive(**{f"driver {name}": getattr(self, name) for name in positive})


class Driver:
    """One vehicle's driver: ``see`` each label image, ``decide`` as often as the vehicle wants to be told."""

    def __init__(self, labels: LabelSet, camera: GroundCamera, config: DriverConfig = DriverConfig()) -> None:
        self.config, self._camera = config, camera
        roles = ClassRoles.of(labels)
        self._finder = LaneFinder(camera, roles, config.lane)
        self._corridors = (
            Corridor(roles.vehicles, config.vehicle_half),
            Corridor(roles.people, config.people_half),
        )
        self._steering, self._pedals = Pid(STEERING), Pid(PEDALS)
        self.forget()

    def forget(self) -> None:
        """Begin afresh, as after a jump of time."""
        for part in (self._steering, self._pedals):
            part.reset()
        self._finder.forget()
        self._seen: tuple[float, Middle, float] | None = None  # when, the road and how far it is free
        self._ways: deque[float] = deque(maxlen=WITNESSES)  # how far from here it was free in the last images
        self._wanted, self._decided = 0.0, -math.inf  # angle of the wheels, rad; when
        self._angle, self._pedal = 0.0, 0.0  # of the wheels, rad; -1 full brake .. 1 full throttle

    def see(self, labels: NDArray[np.uint8], stamp: float, speed: float) -> None:
        """Take in a label image, uint8 (H, W), that is as old as ``stamp`` (s), at ``speed`` (m/s)."""
        if self._seen is not None and stamp < self._seen[0]:
            self.forget()
        elapsed = stamp - self._seen[0] if self._seen else 0.0
        gone = speed * elapsed
        self._finder.move(gone, gone * math.tan(self._angle) / self.config.wheelbase)
        middle = self._finder.find(labels)
        self._seen = stamp, middle, self._free(labels, middle, gone)
        curvature = self._steering.step(self._curvature(middle, speed), elapsed)
        self._wanted = math.atan(curvature * self.config.wheelbase)

    def decide(self, now: float, speed: float) -> Control:
        """Controls at ``now`` (s) and ``speed`` (m/s): stop, where labels are missing for too long."""
        if self._seen is None or now - self._seen[0] > self.config.max_age:
            return FULL_STOP
        _, middle, free = self._seen
        elapsed = max(now - self._decided, 0.0) if math.isfinite(self._decided) else 0.0
        self._decided = now
        pedal = self._pedals.step(self._target_speed(middle, free) - speed, elapsed)
        pressed = min(self._pedal, 0.0) if pedal < 0 else max(self._pedal, 0.0)  # the other pedal is let go at once
        self._pedal = _towards(min(max(pedal, -1.0), 1.0), pressed, self.config.pedal_rate * elapsed)
        self._angle = _towards(self._wanted, self._angle, self.config.wheel_rate * elapsed)
        return Control(-self._angle / self.config.max_steer, max(self._pedal, 0.0), max(-self._pedal, 0.0))

    def _free(self, labels: NDArray[np.uint8], middle: Middle, gone: float) -> float:
        """How far (m) the way is free by most of the last images, ``gone`` metres after the one before."""
        ways = [free_distance(labels, self._camera, middle, self.config.lane, corridor) for corridor in self._corridors]
        self._ways = deque((*(way - gone for way in self._ways), min(ways)), WITNESSES)
        return sorted(self._ways)[len(self._ways) // 2]

    def _curvature(self, middle: Middle, speed: float) -> float:
        """Curvature (1/m, to the left) of the arc from the rear axle to the point aimed at."""
        distance = max(self.config.look_ahead * speed, self.config.least_look_ahead)
        aside = float(middle.left(np.asarray(distance))) + self.config.lane
        reach = distance + self.config.camera_ahead
        return 2 * aside / (reach**2 + aside**2)

    def _target_speed(self, middle: Middle, free: float) -> float:
        room = max(free - self.config.gap, 0.0)
        bend = max(abs(2 * middle.bend), 1e-6)
        return min(
            self.config.cruise, math.sqrt(2 * self.config.braking * room), math.sqrt(self.config.cornering / bend)
        )


def _towards(wanted: float, last: float, most: float) -> float:
    """``wanted``, or as near to it as a step of ``most`` leads."""
    return last + min(max(wanted - last, -most), most)

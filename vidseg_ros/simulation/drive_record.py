"""How a drive went: where, how comfortably, and how often the brakes were for nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from vidseg_ros.driving.control import Control
from vidseg_ros.simulation.drive import Drive
from vidseg_ros.simulation.polygons import Floats

HARD = 0.3  # brake from which one feels it: 2 m/s^2
DECELERATION, GAP = 3.0, 7.0  # m/s^2 and m: who is nearer than it takes to stop with them is a reason to brake
BESIDE = 2.0  # m beside the middle of the lane in which somebody is one


class DriveRecord:
    """Figures of a drive, by a look after each step."""

    def __init__(self) -> None:
        self._errors: list[float] = []
        self._in_lane: list[bool] = []
        self._motion: list[tuple[float, float, float]] = []  # speed, sideways acceleration, angle of the wheels
        self._brakes: list[tuple[bool, bool]] = []  # hard, and for somebody

    def add(self, drive: Drive, control: Control) -> None:
        """Look at where the vehicle is, after ``control``."""
        vehicle = drive.vehicle
        self._errors.append(abs(drive.cross_track))
        self._in_lane.append(drive.in_lane)
        self._motion.append((vehicle.speed, vehicle.speed * vehicle.yaw_rate, vehicle.wheel))
        hard = control.brake >= HARD
        room = vehicle.speed**2 / (2 * DECELERATION) + GAP
        self._brakes.append((hard, hard and drive.in_the_way(room, BESIDE)))

    def figures(self, drive: Drive) -> dict[str, Any]:
        """The figures: metres, percent of the time wholly in the lane, how many things were hit, comfort.

        ``lateral_jerk`` and ``longitudinal_jerk`` (m/s^3) and ``steering_rate`` (rad/s, of the front wheels) are root
        mean squares of differences from frame to frame. ``brakings`` are hard ones; false are those during which nobody
        was in the way, and ``false_braking_s`` is the time of hard braking while nobody was.
        """
        errors, fps = self._errors or [0.0], drive.world.config.fps
        return {
            "completed_m": round(drive.vehicle.along, 2),
            "cross_track_m": {f"p{p}": round(float(np.percentile(errors, p)), 3) for p in (50, 95)},
            "in_lane": round(100 * float(np.mean(self._in_lane or [True])), 2),
            "collisions": drive.collisions,
            **self._comfort(fps),
            **_count(self._brakes),
            "false_braking_s": round(sum(hard and not reason for hard, reason in self._brakes) / fps, 2),
        }

    def _comfort(self, fps: float) -> dict[str, float]:
        motion = np.asarray(self._motion or [(0.0, 0.0, 0.0)])
        speed, sideways, wheel = motion.T
        changes = {
            "lateral_jerk": np.diff(sideways) * fps,
            "longitudinal_jerk": np.diff(speed, n=2) * fps**2,
            "steering_rate": np.diff(wheel) * fps,
        }
        return {name: round(_rms(change), 4) for name, change in changes.items()}


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else 0.0


def _count(brakes: list[tuple[bool, bool]]) -> dict[str, int]:
    """Runs of hard braking, and those without a reason in any of their frames."""
    runs: list[bool] = []
    last = False
    for hard, reason in brakes:
        if hard and not last:
            runs.append(reason)
        elif hard:
            runs[-1] |= reason
        last = hard
    return {"brakings": len(runs), "false_brakings": runs.count(False)}

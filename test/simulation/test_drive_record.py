"""Comfort and false brakings, by hand: a drive is stood in for by where the vehicle is and who is in the way."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from vidseg_ros.driving.control import Control
from vidseg_ros.simulation.drive import DRIVE, Drive
from vidseg_ros.simulation.drive_record import HARD, DriveRecord
from vidseg_ros.simulation.vehicle import LENGTH, OVERHANG, Vehicle

FPS = 10.0


def figures(speeds, sideways=None, wheels=None, brakes=None, reasons=None):
    """Figures of a drive whose frames hold these values."""
    count = len(speeds)
    record = DriveRecord()
    for i in range(count):
        speed = speeds[i]
        yaw_rate = (sideways[i] if sideways else 0.0) / speed if speed else 0.0
        vehicle = SimpleNamespace(speed=speed, yaw_rate=yaw_rate, wheel=wheels[i] if wheels else 0.0, along=5.0)
        drive = SimpleNamespace(
            vehicle=vehicle, cross_track=0.1, in_lane=True, collisions=0,
            in_the_way=lambda within, beside, i=i: bool(reasons and reasons[i]),
            world=SimpleNamespace(config=SimpleNamespace(fps=FPS)),
        )  # fmt: skip
        record.add(drive, Control(brake=brakes[i] if brakes else 0.0))
    return record.figures(drive)


def test_comfort_is_the_root_mean_square_of_differences():
    smooth = figures([8.0] * 5)
    assert smooth["lateral_jerk"] == smooth["longitudinal_jerk"] == smooth["steering_rate"] == 0
    shaken = figures([8.0] * 4, sideways=[0.0, 0.3, -0.1, 0.0], wheels=[0.0, 0.02, 0.0, 0.0])
    assert shaken["lateral_jerk"] == pytest.approx(FPS * np.sqrt((0.3**2 + 0.4**2 + 0.1**2) / 3), abs=1e-4)
    assert shaken["steering_rate"] == pytest.approx(FPS * np.sqrt(2 * 0.02**2 / 3), abs=1e-4)
    # 1 m/s^2 for two frames, then none: one change of acceleration
    assert figures([8.0, 8.1, 8.2, 8.2])["longitudinal_jerk"] == pytest.approx(FPS * 1.0 / np.sqrt(2), abs=1e-3)


def test_a_braking_is_false_where_nobody_is_in_the_way():
    brakes = [0.0, 0.5, 0.5, 0.0, 0.9, 0.9, HARD / 2, 0.4]
    reasons = [0, 0, 1, 1, 0, 0, 1, 0]  # somebody during the first, nobody during the second and third
    found = figures([8.0] * 8, brakes=brakes, reasons=reasons)
    assert (found["brakings"], found["false_brakings"]) == (3, 2)
    assert found["false_braking_s"] == pytest.approx((1 + 2 + 1) / FPS)


def test_who_is_in_the_way():
    drive = Drive(dataclasses.replace(DRIVE, width=160, height=120, seed=1))
    front = LENGTH - OVERHANG
    travellers = drive.world.surroundings(front, 0.0)
    ahead = [  # of the streams of this street: cars of the own lane, at the start
        place[0]
        for traveller, place in zip(travellers.travellers, travellers.places(0.0), strict=True)
        if traveller.stream.velocity == DRIVE.speed and place[0] > 0
    ]
    assert ahead, "the street has a car ahead"
    distance = min(ahead) - front
    assert drive.in_the_way(distance + 5, 1.0)
    assert not drive.in_the_way(distance - 8, 1.0)
    drive.vehicle = Vehicle(min(ahead) + 10, drive.lane)  # past it
    assert not drive.in_the_way(3.0, 1.0)

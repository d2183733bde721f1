import dataclasses
import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidseg_ros.driving.control import FULL_STOP, Control
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID
from vidseg_ros.simulation.drive import DRIVE, Drive, Obstacle
from vidseg_ros.simulation.road import PERIOD, TIGHTEST, Road
from vidseg_ros.simulation.street_world import WEATHERS, Pose, StreetWorld, StreetWorldConfig
from vidseg_ros.simulation.vehicle import LENGTH, MAX_STEER, OVERHANG, WHEELBASE, WIDTH, Vehicle, overlaps

SMALL = dataclasses.replace(DRIVE, width=160, height=120)
STRAIGHT = Road(0.0, 0)
BENT = Road(TIGHTEST, 3)
ROAD = CAMVID.id_of("road")


# -- the road


def test_a_straight_road_changes_nothing() -> None:
    places = np.random.default_rng(0).normal(0, 100, (2, 7))
    np.testing.assert_array_equal(STRAIGHT.place(*places), places.T)
    assert STRAIGHT.heading(123.0) == STRAIGHT.curvature(123.0) == 0


@pytest.mark.parametrize("along", [-700.0, -0.3, 0.0, 77.7, PERIOD - 0.01, PERIOD + 0.01, 5000.0])
def test_heading_and_curvature_are_the_derivatives_of_the_place(along: float) -> None:
    h = 0.5
    before, here, after = BENT.place(np.asarray([along - h, along, along + h]), np.zeros(3))
    step = after - before
    assert math.hypot(*step) == pytest.approx(2 * h, rel=1e-3)
    assert math.atan2(step[1], step[0]) == pytest.approx(float(BENT.heading(along)), abs=2e-3)
    turn = float(BENT.heading(along + h) - BENT.heading(along - h)) / (2 * h)
    assert turn == pytest.approx(BENT.curvature(along), abs=1e-4)
    left = BENT.place(along, 2.0) - here
    assert left @ step == pytest.approx(0, abs=0.02)
    assert step[0] * left[1] - step[1] * left[0] > 0


def test_the_bend_is_never_tighter_than_asked() -> None:
    curvature = [BENT.curvature(along) for along in np.arange(0, PERIOD, 1.0).tolist()]
    assert 0.5 * TIGHTEST < max(np.abs(curvature)) <= TIGHTEST


# -- the street that bends


def test_the_picture_of_a_bend_has_its_kerbs_where_geometry_says() -> None:
    world = StreetWorld(dataclasses.replace(SMALL, width=320, height=240, seed=1, noise=0))
    kerb = world._model.street.kerb
    hits = []
    for x in (40.0, 130.0, 170.0):
        pose = Pose(x, world.lane)
        camera, labels = world.camera(pose), world.render(pose, 4.0).labels
        for along in np.arange(x + 8, x + 25, 1.0).tolist():
            for across, expected in ((kerb - 0.4, True), (-kerb + 0.4, True), (-kerb - 1.0, False)):
                point = np.asarray([*world.road.place(along, across), 0.0]) - camera.place
                right, down, ahead = camera.axes @ point
                u, v = camera.focal * right / ahead + camera.center[0], camera.focal * down / ahead + camera.center[1]
                if 0 <= u < 320 and v < 240:
                    hits.append((labels[int(v), int(u)] == ROAD) == expected)
    assert len(hits) > 80
    assert np.mean(hits) > 0.85  # some of it is hidden by cars and people


def test_labels_follow_the_flow_through_bends() -> None:
    world = StreetWorld(dataclasses.replace(DRIVE, width=320, height=240, seed=2))
    now, later = world.frame(60), world.frame(61)
    rows, columns = np.mgrid[:240, :320]
    x, y = (np.rint(place).astype(int) for place in (columns + now.flow[..., 0], rows + now.flow[..., 1]))
    kernel = np.ones((7, 7), np.uint8)
    clear = (x >= 0) & (x < 320) & (y >= 0) & (y < 240)
    clear &= cv2.dilate(now.labels, kernel) == cv2.erode(now.labels, kernel)
    assert np.mean(later.labels[y[clear], x[clear]] == now.labels[clear]) > 0.98


def test_weathers_look_different_and_label_alike() -> None:
    frames = {}
    for weather in WEATHERS:
        world = StreetWorld(dataclasses.replace(SMALL, seed=2, weather=weather))
        frames[weather] = world.render(Pose(110, world.lane), 5.0)
    plain = frames.pop("sunny")
    for weather, frame in frames.items():
        np.testing.assert_array_equal(frame.labels, plain.labels)
        assert weather == "drawn" or np.abs(frame.rgb.astype(int) - plain.rgb).mean() > 3
    assert frames["dusk"].rgb.mean() < 0.6 * plain.rgb.mean()
    assert frames["fog"].rgb[50:60].std() < plain.rgb[50:60].std()


@pytest.mark.parametrize("change", [{"weather": "hail"}, {"bend": 0.1}, {"bend": float("nan")}])
def test_bad_settings_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(change))} .*use"):
        StreetWorldConfig(**change)  # type: ignore[arg-type]


# -- the vehicle


def test_a_circle_has_the_radius_of_the_bicycle_model() -> None:
    # radius = wheelbase / tan(wheel), so at 5 m/s the heading turns by speed * time / radius
    vehicle = Vehicle(0.0, 0.0, speed=5.0, wheel=0.2)
    for _ in range(100):
        vehicle = dataclasses.replace(vehicle, speed=5.0, thrust=0.0)
        vehicle = vehicle.moved(Control(steer=-0.2 / MAX_STEER), STRAIGHT, 0.01)
    radius = WHEELBASE / math.tan(0.2)
    angle = 5.0 / radius
    assert vehicle.heading == pytest.approx(angle, rel=2e-3)
    assert vehicle.along == pytest.approx(radius * math.sin(angle), rel=5e-3)
    assert vehicle.across == pytest.approx(radius * (1 - math.cos(angle)), rel=2e-2)


def test_a_curved_street_does_not_change_the_way_of_the_vehicle() -> None:
    """What the model does in street coordinates is, in the world, the same straight line."""
    vehicle = Vehicle(20.0, -1.0, heading=0.1, speed=8.0)
    start, direction = BENT.place(20.0, -1.0), 0.1 + float(BENT.heading(20.0))
    for _ in range(60):
        vehicle = dataclasses.replace(vehicle, speed=8.0, thrust=0.0)
        vehicle = vehicle.moved(Control(), BENT, 0.02)
    went = BENT.place(vehicle.along, vehicle.across) - start
    assert math.hypot(*went) == pytest.approx(8.0 * 1.2, rel=0.01)
    assert math.atan2(went[1], went[0]) == pytest.approx(direction, abs=0.01)
    assert vehicle.heading + float(BENT.heading(vehicle.along)) == pytest.approx(direction, abs=0.01)


def test_steering_right_goes_right_and_braking_stops() -> None:
    vehicle = Vehicle(0.0, 0.0, speed=5.0).moved(Control(steer=1.0), STRAIGHT, 1.0)
    assert vehicle.across < -0.5
    stopped = vehicle.moved(FULL_STOP, STRAIGHT, 3.0)
    assert stopped.speed == 0
    assert stopped.moved(FULL_STOP, STRAIGHT, 1.0).along == stopped.along


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(-5, 5))
def test_control_is_cut_to_its_range(steer: float, throttle: float, brake: float) -> None:
    control = Control(steer, throttle, brake)
    assert control.steer == np.clip(steer, -1, 1)
    assert (control.throttle, control.brake) == (np.clip(throttle, 0, 1), np.clip(brake, 0, 1))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_control_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(UserError, match=r"throttle is .*; send a finite number"):
        Control(throttle=value)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-3.14, 3.14), st.floats(0.3, 3))
@settings(deadline=None)
def test_overlap_agrees_with_opencv(x: float, y: float, heading: float, half: float) -> None:
    body = Vehicle(x, y, heading)
    outline = np.asarray(body.outline())
    center = body.point(LENGTH / 2 - OVERHANG)
    turned = (center, (LENGTH, WIDTH), math.degrees(heading))
    kind, shared = cv2.rotatedRectangleIntersection(turned, ((0.5, 0.0), (2 * half, half), 0.0))
    area = 0.0 if kind == cv2.INTERSECT_NONE else cv2.contourArea(cv2.convexHull(shared))
    touched = overlaps(outline, np.asarray([[0.5 - half, -half / 2, 0.5 + half, half / 2]])).item()
    assert touched or area < 0.02
    if touched:
        grown = ((0.5, 0.0), (2 * half + 0.02, half + 0.02), 0.0)
        assert cv2.rotatedRectangleIntersection(turned, grown)[0] != cv2.INTERSECT_NONE


# -- the drive


def test_the_same_control_gives_the_same_drive() -> None:
    drives = [Drive(SMALL), Drive(SMALL)]
    for index in range(30):
        for drive in drives:
            drive.step(Control(0.3 * math.sin(index), 0.5))
    assert drives[0].vehicle == drives[1].vehicle
    assert drives[0].frame().rgb.tobytes() == drives[1].frame().rgb.tobytes()


def test_it_starts_in_its_lane_and_touches_nothing() -> None:
    for seed in range(10):
        drive = Drive(dataclasses.replace(SMALL, seed=seed))
        assert drive.in_lane
        assert drive.cross_track == 0
        assert drive.contacts() == []


def test_whoever_leaves_the_road_hits_something() -> None:
    drive = Drive(dataclasses.replace(SMALL, seed=1))
    for _ in range(45):
        drive.step(Control(steer=1.0, throttle=0.2))
    assert drive.collisions >= 1
    assert not drive.in_lane


def _near(drive: Drive, along: float) -> list[Obstacle]:
    drive.vehicle = Vehicle(along, drive.lane)
    return drive._obstacles()


def test_what_stands_is_hit_once() -> None:
    drive = Drive(dataclasses.replace(SMALL, seed=1))
    lamp = next(
        obstacle
        for along in range(0, 100, 5)
        for obstacle in _near(drive, along)
        if len(obstacle.key) == 4 and obstacle.label == CAMVID.id_of("pole")
    )
    drive.vehicle = Vehicle(lamp.box[0] - 1.0, lamp.box[1])
    for _ in range(3):
        drive.step(FULL_STOP)
        assert lamp in drive.contacts()
    assert drive.collisions == len(drive.contacts())


def test_whoever_does_not_brake_runs_into_the_car_ahead() -> None:
    names = set()
    for seed in range(4):
        drive = Drive(dataclasses.replace(SMALL, seed=seed, bend=0.0))
        for _ in range(150):
            drive.vehicle = dataclasses.replace(drive.vehicle, speed=14.0, heading=0.0, across=drive.lane)
            drive.step(Control())
            names |= {CAMVID.names[o.label] for o in drive.contacts()}
    assert "car" in names


def test_a_drive_needs_room() -> None:
    with pytest.raises(UserError, match="set 'shared'"):
        Drive(StreetWorldConfig())

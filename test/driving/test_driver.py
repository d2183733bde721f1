"""The driver on label images painted by hand, where geometry says what is right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vidseg_ros.driving.class_roles import ClassRoles
from vidseg_ros.driving.control import FULL_STOP
from vidseg_ros.driving.driver import Driver, DriverConfig
from vidseg_ros.driving.ground import GroundCamera
from vidseg_ros.driving.lane import LaneFinder
from vidseg_ros.driving.obstacles import Corridor, free_distance
from vidseg_ros.driving.pid import Gains, Pid
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID, CITYSCAPES, LabelSet

WIDTH, HEIGHT = 320, 240
CAMERA = GroundCamera(272.0, (159.5, 107.55), 1.4)
LANE = DriverConfig().lane
PAVEMENT, ROAD = CAMVID.id_of("pavement"), CAMVID.id_of("road")
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH].astype(float)
AHEAD = CAMERA.ahead(ROWS)
with np.errstate(invalid="ignore"):
    LEFT = CAMERA.left(COLUMNS, AHEAD)


def street(middle=-LANE, half=4.0, slope=0.0, bend=0.0, labels=CAMVID):
    """Paint a road whose middle line and width are given, as the camera sees it."""
    pavement = labels.id_of("pavement" if labels is CAMVID else "sidewalk")
    image = np.full((HEIGHT, WIDTH), labels.id_of("sky"), np.uint8)
    with np.errstate(invalid="ignore"):
        on_road = np.abs(LEFT - (middle + slope * AHEAD + bend * AHEAD**2)) < half
        image[np.isfinite(AHEAD)] = pavement
        image[np.isfinite(AHEAD) & on_road] = labels.id_of("road")
    return image


def put(image, name, ahead, left, width=1.8, tall=1.5, labels=CAMVID):
    """Stand a flat figure on the ground."""
    bottom, top = (int(CAMERA.center[1] + CAMERA.focal * (1.4 - z) / ahead) for z in (0, tall))
    first, last = (int(CAMERA.column(np.asarray(left + s * width / 2), np.asarray(ahead))) for s in (1, -1))
    image[max(top, 0) : bottom + 1, max(first, 0) : max(last, 0)] = labels.id_of(name)
    return image


def drive_on(image, frames=15, speed=8.0, **config):
    driver = Driver(CAMVID, CAMERA, DriverConfig(**config))
    for index in range(frames):
        driver.see(image, index / 10, speed)
        control = driver.decide(index / 10, speed)
    return control


@pytest.mark.parametrize("ahead", [2.0, 7.5, 40.0])
@pytest.mark.parametrize("left", [-3.0, 0.0, 1.5])
def test_rows_and_columns_are_inverses(ahead, left):
    a, b = np.asarray(ahead), np.asarray(left)
    assert CAMERA.ahead(CAMERA.row(a)) == pytest.approx(ahead)
    assert CAMERA.left(CAMERA.column(b, a), a) == pytest.approx(left)
    assert np.isinf(CAMERA.ahead(np.asarray(50.0)))


def test_a_camera_without_intrinsics_is_refused():
    with pytest.raises(UserError, match="publish a camera_info with intrinsics"):
        GroundCamera(0.0, (0.0, 0.0), 1.4)


@pytest.mark.parametrize(
    ("offset", "half", "slope", "bend"), [(1.65, 3.8, 0, 0), (1.2, 5.2, 0.05, 0), (2.0, 4, 0, 0.005)]
)
def test_the_middle_line_is_found(offset, half, slope, bend):
    finder = LaneFinder(CAMERA, ClassRoles.of(CAMVID), LANE)
    image = street(offset, half, slope, bend)
    for _ in range(30):
        middle = finder.find(image)
    for ahead in (6.0, 10.0, 15.0):
        expected = offset + slope * ahead + bend * ahead**2
        assert float(middle.left(np.asarray(ahead))) == pytest.approx(expected, abs=0.15)
    assert middle.half == pytest.approx(half, abs=0.15)


def test_without_road_the_last_line_stays():
    finder = LaneFinder(CAMERA, ClassRoles.of(CAMVID), LANE)
    before = [finder.find(street()) for _ in range(10)][-1]
    after = finder.find(np.full((HEIGHT, WIDTH), 255, np.uint8))
    assert after.edges == 0
    assert after.offset == pytest.approx(before.offset)


def test_what_the_camera_moves_is_taken_off_the_line():
    finder = LaneFinder(CAMERA, ClassRoles.of(CAMVID), LANE)
    before = [finder.find(street(bend=0.004)) for _ in range(20)][-1]
    finder.move(2.0, 0.0)
    after = finder.find(np.full((HEIGHT, WIDTH), 255, np.uint8))
    assert float(after.left(np.asarray(8.0))) == pytest.approx(float(before.left(np.asarray(10.0))))


@pytest.mark.parametrize("kind", ["car", "pedestrian"])
@pytest.mark.parametrize("ahead", [8.0, 15.0, 25.0])
def test_the_way_is_free_until_somebody_is_in_it(kind, ahead):
    finder, roles = LaneFinder(CAMERA, ClassRoles.of(CAMVID), LANE), ClassRoles.of(CAMVID)
    middle = finder.find(street())
    table = roles.vehicles if kind == "car" else roles.people
    width = 1.8 if kind == "car" else 0.5

    def free(image):
        return free_distance(image, CAMERA, middle, LANE, Corridor(table, 1.2))

    assert free(street()) == float("inf")
    assert free(put(street(), kind, ahead, 0.0, width)) == pytest.approx(ahead, rel=0.1)
    assert free(put(street(), kind, ahead, 3.4, width)) == float("inf")
    assert free(put(put(street(), kind, 20.0, 0.0, width), kind, 7.0, 0.3, width)) == pytest.approx(7.0, rel=0.1)


def test_it_steers_towards_its_lane():
    assert abs(drive_on(street()).steer) < 0.03
    assert drive_on(street(-LANE - 0.5)).steer > 0.05  # the lane is to the right
    assert drive_on(street(-LANE + 0.5)).steer < -0.05
    assert drive_on(street(bend=0.004)).steer < -0.01


def test_it_cruises_and_brakes():
    assert drive_on(street(), speed=5.0).throttle > 0.3
    assert drive_on(street(), speed=12.0).brake > 0.3
    assert drive_on(put(street(), "car", 12.0, 0.0), speed=9.0).brake > 0.5
    assert drive_on(put(street(), "pedestrian", 10.0, 1.2, 0.5), speed=9.0).brake > 0.5
    assert drive_on(put(street(), "car", 30.0, 0.0), speed=5.0).throttle > 0.3


def test_people_need_more_room_than_cars():
    driving = {kind: drive_on(put(street(), kind, 9.0, 1.6, 0.4), speed=8.0).brake for kind in ("car", "pedestrian")}
    assert driving["pedestrian"] > 0.3 > driving["car"]


def test_it_stops_when_labels_stop_coming():
    driver = Driver(CAMVID, CAMERA)
    assert driver.decide(0.0, 8.0) == FULL_STOP
    driver.see(street(), 1.0, 8.0)
    assert driver.decide(1.5, 8.0) != FULL_STOP
    assert driver.decide(1.0 + driver.config.max_age + 0.01, 8.0) == FULL_STOP


def test_time_that_runs_back_begins_afresh():
    driver, fresh = Driver(CAMVID, CAMERA), Driver(CAMVID, CAMERA)
    for index in range(10):
        driver.see(street(3.0), 100 + index / 10, 8.0)
    driver.see(street(), 0.5, 8.0)
    fresh.see(street(), 0.5, 8.0)
    assert driver.decide(0.5, 8.0) == fresh.decide(0.5, 8.0)


def test_cityscapes_labels_drive_as_well():
    driver = Driver(CITYSCAPES, CAMERA)
    image = put(street(labels=CITYSCAPES), "bus", 10.0, 0.0, labels=CITYSCAPES)
    assert see(driver, [image] * 4, 9.0).brake > 0.5


def see(driver, images, speed):
    """Drive on some images, ten a second; the last control."""
    for index, image in enumerate(images):
        driver.see(image, index / 10, speed)
        control = driver.decide(index / 10, speed)
    return control


def test_one_image_stops_nobody_and_one_gap_hides_nobody():
    free, blocked = street(), put(street(), "pedestrian", 8.0, 0.0, 0.5)
    assert see(Driver(CAMVID, CAMERA), [free] * 6 + [blocked], 8.0).brake == 0
    assert see(Driver(CAMVID, CAMERA), [free] * 6 + [blocked] * 2, 8.0).brake > 0.3
    assert see(Driver(CAMVID, CAMERA), [blocked] * 6 + [free], 8.0).brake > 0.3


def test_the_more_images_show_somebody_the_more_it_brakes():
    def braking(share):
        driver, brakes = Driver(CAMVID, CAMERA), []
        lot = np.random.default_rng(0).random(200) < share
        for index, wrong in enumerate(lot):
            image = put(street(), "pedestrian", 8.0, 0.0, 0.5) if wrong else street()
            driver.see(image, index / 10, 8.0)
            brakes.append(driver.decide(index / 10, 8.0).brake)
        return np.mean(brakes)

    curve = [braking(share) for share in (0.0, 0.1, 0.25, 0.5, 1.0)]
    assert curve == sorted(curve)
    assert curve[0] == 0
    assert 0 < curve[1] < 0.15 < curve[3] < 0.8 < curve[4]


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_wheel_and_pedals_take_their_time(rate):
    config = DriverConfig(wheel_rate=rate, pedal_rate=2.0)
    driver = Driver(CAMVID, CAMERA, config)
    images = [street(3.5 if index % 2 else 0.0) for index in range(12)]  # the road jumps to and fro
    controls = []
    for index, image in enumerate(images):
        driver.see(image, index / 10, 8.0)
        controls.append(driver.decide(index / 10, 8.0))
    wheel = np.asarray([control.steer * config.max_steer for control in controls])
    pedals = np.asarray([(control.throttle, control.brake) for control in controls])
    assert 0 < np.abs(np.diff(wheel)).max() <= rate / 10 + 1e-9
    assert 0 < np.diff(pedals, axis=0).max() <= 0.2 + 1e-9


def test_a_kerb_in_a_gap_before_a_parked_car_is_no_side_of_that_car():
    finder = LaneFinder(CAMERA, ClassRoles.of(CAMVID), LANE)
    image = street(half=4.0)
    gap = (np.abs(LEFT + 4.4 + LANE) < 0.4) & np.isfinite(AHEAD)  # a strip of pavement, then cars
    image[np.isfinite(AHEAD) & (LEFT < -4.8 - LANE) & (AHEAD > 8)] = CAMVID.id_of("car")
    assert (image[gap] == PAVEMENT).mean() > 0.8
    for _ in range(30):
        middle = finder.find(image)
    assert float(middle.left(np.asarray(15.0))) == pytest.approx(-LANE, abs=0.15)


@given(image=hnp.arrays(np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 60))), speed=st.floats(0, 30))
@settings(deadline=None, max_examples=50)
def test_any_image_gives_a_control(image, speed):
    driver = Driver(CAMVID, GroundCamera(50.0, (30.0, 20.0), 1.4))
    for stamp in (0.0, 0.1, 0.1):
        driver.see(image, stamp, speed)
    driver.decide(0.1, speed)  # Control refuses what is not finite


def test_pid_by_hand():
    pid = Pid(Gains(2.0, 0.5, 0.1, limit=0.3))
    assert pid.step(1.0, 0.5) == pytest.approx(2.0 + 0.25)
    assert pid.step(2.0, 0.5) == pytest.approx(4.0 + 0.3 + 0.1 * 2)
    pid.reset()
    assert pid.step(0.0, 0.5) == 0


@pytest.mark.parametrize("name", ["cruise", "max_age", "wheelbase", "wheel_rate", "pedal_rate"])
def test_bad_settings_are_refused(name):
    with pytest.raises(UserError, match=f"driver {name} is 0; it must be above 0"):
        DriverConfig(**{name: 0})


def test_labels_without_a_road_are_refused():
    indoors = LabelSet("indoors", ("floor", "wall"), ((0, 0, 0), (9, 9, 9)))
    with pytest.raises(UserError, match="label set 'indoors' has no class 'road' to drive on; use a checkpoint"):
        Driver(indoors, CAMERA)

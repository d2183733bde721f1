"""The street world over ROS 2, with driver and evaluator: what goes out, and that the loop closes."""

import json
import math
import time
from dataclasses import replace

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")
pytest.importorskip("nav_msgs")

from nav_msgs.msg import Odometry  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image, Joy  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from test.ros.conftest import remapped  # noqa: E402
from vidseg_ros.carla.labels import DECODERS, INTERFACES, TAGS_0_9_14  # noqa: E402
from vidseg_ros.driving.control import FULL_STOP, Control  # noqa: E402
from vidseg_ros.errors import UserError  # noqa: E402
from vidseg_ros.labels import CAMVID  # noqa: E402
from vidseg_ros.ros.conversions import to_image  # noqa: E402
from vidseg_ros.ros.driving.control import find_control  # noqa: E402
from vidseg_ros.ros.driving.driver import DriverNode  # noqa: E402
from vidseg_ros.ros.driving.evaluator import EvaluatorNode  # noqa: E402
from vidseg_ros.ros.driving.exact_time import WAITING, ExactTimeSynchronizer  # noqa: E402
from vidseg_ros.ros.driving.simulator import RGB, SEMANTIC, StreetSimulatorNode  # noqa: E402
from vidseg_ros.simulation.drive import DRIVE, Drive  # noqa: E402

CONFIG = replace(DRIVE, width=160, height=120, fps=10.0)
ROLE = "/carla/hero"


def listen(node, kind, topic):
    heard = []
    node.create_subscription(kind, topic, heard.append, 10)
    return heard


@pytest.mark.parametrize("interface", INTERFACES)
def test_topics_encodings_and_stamps(spun, interface):
    ear = spun(rclpy.create_node("ear"))
    kinds = {"image": Image, "camera_info": CameraInfo}
    heard = {
        (name, topic): listen(ear, kind, f"{ROLE}/{name}/{topic}")
        for name in (RGB, SEMANTIC)
        for topic, kind in kinds.items()
    }
    odometry, clock = listen(ear, Odometry, f"{ROLE}/odometry"), listen(ear, Clock, "/clock")
    drive = Drive(CONFIG)
    rig = StreetSimulatorNode(drive, "hero", interface)
    while not all(p.get_subscription_count() for p in rig.publishers if p.topic_name.startswith(ROLE)):
        rclpy.spin_once(rig, timeout_sec=0.05)
    truth = drive.frame()
    rig.run(3, synchronous=False)
    rig.destroy_node()
    image, semantic = heard[RGB, "image"][0], heard[SEMANTIC, "image"][0]
    assert image.encoding == semantic.encoding == "bgra8"
    assert image.header.frame_id == "hero/rgb_front"
    assert image.header.stamp == semantic.header.stamp == odometry[0].header.stamp == clock[0].clock
    bgra = np.asarray(image.data, np.uint8).reshape(120, 160, 4)
    np.testing.assert_array_equal(bgra[..., 2::-1], truth.rgb)
    decoded = DECODERS[INTERFACES[interface]](
        np.asarray(semantic.data, np.uint8).reshape(120, 160, 4), TAGS_0_9_14, CAMVID
    )
    np.testing.assert_array_equal(decoded, truth.labels)
    info = heard[RGB, "camera_info"][0]
    assert (info.width, info.height, info.k[0]) == (160, 120, pytest.approx(0.85 * 160))
    assert odometry[0].twist.twist.linear.x == CONFIG.speed
    step = odometry[1].pose.pose.position.x - odometry[0].pose.pose.position.x
    assert 0.5 < step / (CONFIG.speed / CONFIG.fps) < 1.1


def test_the_loop_closes(spun, tmp_path):
    """Labels come from the semantic image, as a perfect network's would; the driver keeps the lane by them."""
    relay = spun(rclpy.create_node("relay"))
    publisher = relay.create_publisher(Image, "/label", 10)

    def label(message):
        bgra = np.asarray(message.data, np.uint8).reshape(message.height, message.width, 4)
        ids = DECODERS["colors"](bgra, TAGS_0_9_14, CAMVID)
        publisher.publish(to_image(ids, "mono8", message.header))

    relay.create_subscription(Image, f"{ROLE}/{SEMANTIC}/image", label, 10)
    topics = {"camera_info": f"{ROLE}/{RGB}/camera_info", "odometry": f"{ROLE}/odometry"}
    driver = spun(DriverNode(namespace=ROLE, **remapped(label="/label", **topics)))
    looks = {"semantic": f"{ROLE}/{SEMANTIC}/image", "image": f"{ROLE}/{RGB}/image"}
    evaluator = spun(
        EvaluatorNode(
            parameter_overrides=[Parameter("report", value=str(tmp_path))], **remapped(label="/label", **looks)
        )
    )
    drive = Drive(CONFIG)
    rig = StreetSimulatorNode(drive, "hero", "bridge")
    control = next(p for p in driver.publishers if p.topic_name.startswith(f"{ROLE}/vehicle_control_cmd"))
    while not (control.get_subscription_count() and publisher.get_subscription_count() == 2):
        rclpy.spin_once(rig, timeout_sec=0.05)
    worst = []
    rig.run(60, synchronous=True, progress=lambda: worst.append(abs(drive.cross_track)))
    rig.destroy_node()
    assert drive.vehicle.along > 25
    assert max(worst) < 0.5
    finished = evaluator.executor.create_task(evaluator.finish)  # between two callbacks, not amid one
    while not finished.done():
        time.sleep(0.01)
    finished.result()
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["frames"] > 50
    assert (figures["miou"], figures["acc"], figures["cons"]) == (100, 100, 100)
    assert not figures["problems"]  # each frame met its picture


def stop(rig, frames):
    rig.run(frames, synchronous=False)
    rig.destroy_node()


def test_a_role_that_is_no_name_is_refused():
    with pytest.raises(UserError, match="role 'my car' cannot be part of a topic"):
        StreetSimulatorNode(Drive(CONFIG), "my car", "bridge")


def test_without_control_the_vehicle_stops():
    drive = Drive(replace(CONFIG, fps=30.0))
    stop(StreetSimulatorNode(drive, "hero", "bridge"), 60)
    assert drive.vehicle.speed == 0


def test_control_that_is_unfit_stops_the_vehicle():
    rig = StreetSimulatorNode(Drive(CONFIG), "hero", "bridge")
    joy = find_control("joy")
    rig._on_control(joy, Joy(axes=[0.1, 0.5, 0.0]))
    assert rig.control == Control(np.float32(0.1), 0.5, 0.0)
    for axes in ([0.1], [math.nan, 0.0, 0.0]):
        rig._on_control(joy, Joy(axes=axes))
        assert rig.control == FULL_STOP
    rig.destroy_node()


def test_control_kinds():
    control, header = Control(-0.25, 0.5, 0.0), Header(frame_id="x")
    joy = find_control("auto")
    message = joy.write(control, 3.0, header)
    assert message.header == header
    assert joy.read(message) == control
    with pytest.raises(UserError, match="control 'carla' needs carla_msgs, which is not installed"):
        find_control("carla")
    with pytest.raises(UserError, match="control is 'reins'; use one of auto, carla"):
        find_control("reins")


def test_pairs_wait_only_so_long():
    pairs = ExactTimeSynchronizer(("a", "b"))
    for stamp in range(WAITING + 5):
        assert pairs.put("a", stamp, stamp) is None
    assert pairs.lost == {"a": 5, "b": 0}
    assert pairs.put("b", 3, 0) is None
    assert pairs.put("b", 50, 0) == 50
    pairs.give_up()
    assert pairs.lost == {"a": 5 + WAITING - 1, "b": 1}


def test_the_driver_stops_when_labels_stay_away():
    driver = DriverNode()
    sent = []
    driver._publisher = type("Ear", (), {"publish": staticmethod(sent.append), "topic_name": "x"})()
    driver._publisher.get_subscription_count = lambda: 0  # a vehicle that is gone is warned of, and harms nothing
    info = CameraInfo()
    driver._on_camera(info)  # without intrinsics
    assert driver._driver is None
    info.k[0], info.k[2], info.k[5] = 100.0, 4.0, 2.0
    driver._on_camera(info)
    header = Header()
    driver._on_label(to_image(np.zeros((6, 8), np.uint8), "mono8", header))
    driver._on_label(to_image(np.zeros((6, 8, 3), np.uint8), "rgb8", header))
    assert len(sent) == 1
    odometry = Odometry()
    odometry.header.stamp.nanosec = 500_000_000
    driver._on_odometry(odometry)
    assert len(sent) == 1
    odometry.header.stamp.sec = 2
    driver._on_odometry(odometry)
    assert list(sent[-1].axes) == [0.0, 0.0, 1.0]
    driver.destroy_node()


@pytest.fixture
def driver_alone():
    """A driver that knows its camera, without a vehicle, and what it would say to one."""
    driver, sent = DriverNode(), []
    driver._publisher = type("Ear", (), {"publish": staticmethod(sent.append), "topic_name": "reins"})()
    driver._publisher.get_subscription_count = lambda: 0
    info = CameraInfo()
    info.k[0], info.k[2], info.k[5] = 100.0, 4.0, 2.0
    driver._on_camera(info)
    yield driver, sent
    driver.destroy_node()


def test_labels_of_another_set_are_left_out(driver_alone, capfd):
    driver, sent = driver_alone
    driver._on_label(to_image(np.full((6, 8), 15, np.uint8), "mono8", Header()))
    assert not sent
    assert "id 15, but label set 'camvid' has 11 classes; set label_set to that of the model" in capfd.readouterr().err
    driver._on_label(to_image(np.full((6, 8), 255, np.uint8), "mono8", Header()))  # unlabelled is known
    assert len(sent) == 1


def test_the_evaluator_rejects_labels_of_another_set():
    evaluator = EvaluatorNode()
    evaluator._on_label(to_image(np.full((6, 8), 18, np.uint8), "mono8", Header()), {"received_timestamp": 0})
    assert evaluator.figures()["rejected"] == 1
    evaluator.destroy_node()


def test_control_that_nobody_takes_is_warned_of_without_odometry(driver_alone, capfd):
    driver, _ = driver_alone
    driver._on_label(to_image(np.zeros((6, 8), np.uint8), "mono8", Header()))
    assert "nobody takes 'reins': the vehicle is gone" in capfd.readouterr().err


def test_a_clock_or_camera_that_stops_is_warned_of(driver_alone, capfd, monkeypatch):
    driver, sent = driver_alone
    driver._on_silence()
    assert "no label" not in capfd.readouterr().err  # there was none to miss
    driver._on_label(to_image(np.zeros((6, 8), np.uint8), "mono8", Header()))
    later = time.monotonic() + 7
    monkeypatch.setattr(time, "monotonic", lambda: later)
    driver._on_silence()
    assert "no label for 7 s of real time: the camera, the clock or the segmentation" in capfd.readouterr().err
    assert len(sent) == 1  # a simulator that waits shall not find the brakes on

"""A session of CARLA's topics, recorded as either interface sends them, through node, evaluator and driver.

Semantic tags and controls are those of the ``carla`` client; colours are those of its documentation.
"""

from dataclasses import replace

import numpy as np
import pytest
from rosbags.rosbag2 import Reader

rclpy = pytest.importorskip("rclpy")
pytest.importorskip("nav_msgs")
carla = pytest.importorskip("carla", reason="the CARLA client is not installed")

from nav_msgs.msg import Odometry  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.serialization import deserialize_message  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image, Joy  # noqa: E402

from test.carla.test_labels import SINCE_0_9_14  # noqa: E402
from test.io.making import header, image, write_bag  # noqa: E402
from test.ros.conftest import TIMEOUT, remapped  # noqa: E402
from vidseg_ros.carla.labels import DECODERS, INTERFACES, TAGS_0_9_14  # noqa: E402
from vidseg_ros.closed_loop import camera_of  # noqa: E402
from vidseg_ros.driving.driver import Driver, DriverConfig  # noqa: E402
from vidseg_ros.io.bag_reader import TYPES  # noqa: E402
from vidseg_ros.labels import CAMVID  # noqa: E402
from vidseg_ros.ros.driving.driver import DriverNode  # noqa: E402
from vidseg_ros.ros.driving.evaluator import EvaluatorNode  # noqa: E402
from vidseg_ros.simulation.drive import DRIVE, Drive  # noqa: E402

FRAMES, FPS = 12, 20  # fixed_delta_seconds is 0.05
ROLES = {"bridge": "ego_vehicle", "native": "hero"}
KINDS = {kind.__name__: kind for kind in (Image, CameraInfo, Odometry, Clock)}
LABEL = carla.CityObjectLabel
TAG_OF = {
    "sky": LABEL.Sky, "building": LABEL.Buildings, "pole": LABEL.Poles, "road": LABEL.Roads, "car": LABEL.Car,
    "pavement": LABEL.Sidewalks, "tree": LABEL.Vegetation, "sign": LABEL.TrafficSigns, "fence": LABEL.Fences,
    "pedestrian": LABEL.Pedestrians, "bicyclist": LABEL.Rider,
}  # fmt: skip


def semantic(ids, interface):
    """What the semantic camera sends: a tag in the red byte, or the palette's colour."""
    tags = np.asarray([int(TAG_OF[name]) for name in CAMVID.names], np.uint8)[ids]
    middle = tags.shape[1] // 2
    tags[:, middle][tags[:, middle] == int(LABEL.Roads)] = int(LABEL.RoadLines)  # a marking
    pixels = np.full((*ids.shape, 4), 255, np.uint8)
    if interface == "native":
        pixels[..., :3] = 0
        pixels[..., 2] = tags
    else:
        palette = np.asarray([SINCE_0_9_14[tag][0][::-1] for tag in range(len(SINCE_0_9_14))], np.uint8)
        pixels[..., :3] = palette[tags]
    return pixels


def make(kind, **fields):
    """Make a message with all other fields at zero."""
    return TYPES.types[kind](**fields)


def camera_info(camera, nanoseconds, name):
    (cx, cy), f = camera.center, camera.focal
    roi = make("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    k, r, p = np.zeros(9), np.eye(3).ravel(), np.zeros(12)
    k[[0, 2, 4, 5, 8]] = p[[0, 2, 5, 6, 10]] = f, cx, f, cy, 1.0
    return make(
        "sensor_msgs/msg/CameraInfo", header=header(nanoseconds, name), height=camera.height, width=camera.width,
        distortion_model="plumb_bob", d=np.zeros(5), k=k, r=r, p=p, binning_x=0, binning_y=0, roi=roi,
    )  # fmt: skip


def odometry(speed, nanoseconds):
    zero = make("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=0.0)
    pose = make(
        "geometry_msgs/msg/Pose",
        position=make("geometry_msgs/msg/Point", x=0.0, y=0.0, z=0.0),
        orientation=make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0),
    )
    twist = make(
        "geometry_msgs/msg/Twist", linear=make("geometry_msgs/msg/Vector3", x=speed, y=0.0, z=0.0), angular=zero
    )
    return make(
        "nav_msgs/msg/Odometry", header=header(nanoseconds, "map"), child_frame_id="ego_vehicle",
        pose=make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36)),
        twist=make("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=np.zeros(36)),
    )  # fmt: skip


def record(path, interface):
    """Write the bag of a short drive by true labels; returns its ids by stamp and the topics."""
    vehicle, drive = f"/carla/{ROLES[interface]}", Drive(replace(DRIVE, width=160, height=120, fps=FPS))
    driver, truth, topics = Driver(CAMVID, camera_of(drive), DriverConfig(lane=drive.lane)), {}, {}
    for index in range(FRAMES):
        frame, stamp = drive.frame(), 10**9 + index * 10**9 // FPS
        truth[stamp] = frame.labels
        bgra = np.dstack([frame.rgb[..., ::-1], np.full(frame.labels.shape, 255, np.uint8)])
        messages = {
            "rgb_front/camera_info": camera_info(drive.camera, stamp, "rgb_front"),
            "semantic_segmentation_front/image": image(semantic(frame.labels, interface), stamp, "bgra8", "semantic"),
            "rgb_front/image": image(bgra, stamp, "bgra8", "rgb_front"),
        }
        if interface == "bridge":  # the native interface sends neither odometry nor, to all we know, a clock
            messages = {"odometry": odometry(drive.vehicle.speed, stamp), **messages}
            clock = make("rosgraph_msgs/msg/Clock", clock=header(stamp).stamp)
            topics.setdefault("/clock", []).append((stamp, clock))
        for topic, message in messages.items():
            topics.setdefault(f"{vehicle}/{topic}", []).append((stamp, message))
        driver.see(frame.labels, frame.stamp, drive.vehicle.speed)
        drive.step(driver.decide(frame.stamp, drive.vehicle.speed))
    write_bag(path, topics)
    return truth, vehicle


@pytest.mark.parametrize("interface", INTERFACES)
def test_the_client_numbers_its_tags_as_the_tables_do(interface):
    ids = np.arange(len(CAMVID), dtype=np.uint8)[None].repeat(3, 0)
    decoded = DECODERS[INTERFACES[interface]](semantic(ids, interface), TAGS_0_9_14, CAMVID)
    np.testing.assert_array_equal(decoded, ids)


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_recorded_session_goes_through_node_evaluator_and_driver(start, spun, tmp_path, interface):
    truth, vehicle = record(tmp_path / "session", interface)
    looks = {"semantic": f"{vehicle}/semantic_segmentation_front/image", "label": "/segmentation/label"}
    node = start[0](cli_args=["--ros-args", "-r", f"image:={vehicle}/rgb_front/image"])
    evaluator = spun(EvaluatorNode(**parameters(interface), **remapped(**looks)))
    driver = spun(DriverNode(namespace=vehicle, **remapped(label="/segmentation/label", **heard_by_driver(vehicle))))
    player, controls, labels = rclpy.create_node("player"), [], []
    player.create_subscription(Joy, f"{vehicle}/vehicle_control_cmd_joy", controls.append, 50)
    player.create_subscription(Image, "/segmentation/label", labels.append, 50)
    publishers = {}
    with Reader(tmp_path / "session") as bag:
        for connection in bag.connections:
            kind = KINDS[connection.msgtype.rpartition("/")[2]]
            publishers[connection.topic] = player.create_publisher(kind, connection.topic, 10)
        listened = [
            t for t in publishers if t != "/clock" and not t.endswith("semantic_segmentation_front/camera_info")
        ]
        wait(player, lambda: all(publishers[topic].get_subscription_count() for topic in listened))
        wait(player, lambda: node._cameras[""].publishers["label"].get_subscription_count() == 3)
        wait(player, driver._publisher.get_subscription_count)
        for connection, _, data in bag.messages():
            kind = KINDS[connection.msgtype.rpartition("/")[2]]
            publishers[connection.topic].publish(deserialize_message(bytes(data), kind))
            if connection.topic.endswith("rgb_front/image"):
                asked = len(labels) + 1
                wait(player, lambda asked=asked: len(labels) >= asked and len(controls) >= asked)
    wait(player, lambda: evaluator.figures()["frames"] == FRAMES)
    figures = evaluator.figures()
    assert (figures["rejected"], figures["unmatched"], figures["unanswered"]) == (0, 0, 0)
    answered = {m.header.stamp.sec * 10**9 + m.header.stamp.nanosec: m for m in labels}
    assert set(answered) == set(truth)
    for message in controls:  # a client takes them as they are
        steer, throttle, brake = message.axes
        taken = carla.VehicleControl(throttle=throttle, steer=steer, brake=brake)
        assert (taken.throttle, taken.steer, taken.brake) == pytest.approx((throttle, steer, brake))
        assert -1 <= steer <= 1
        assert min(throttle, brake) >= 0
        assert max(throttle, brake) <= 1
    player.destroy_node()


def parameters(interface):
    return {"parameter_overrides": [Parameter("interface", value=interface)]}


def heard_by_driver(vehicle):
    return {"camera_info": f"{vehicle}/rgb_front/camera_info", "odometry": f"{vehicle}/odometry"}


def wait(node, done):
    """Spin ``node`` until something is so."""
    for _ in range(int(TIMEOUT / 0.02)):
        if done():
            return
        rclpy.spin_once(node, timeout_sec=0.02)
    pytest.fail("nothing came in time")

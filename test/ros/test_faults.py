"""What robots do to a node: listeners that stall, cameras that go and come, crowds, engines and devices that fail."""

import threading

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSDurabilityPolicy, QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image

from test.ros.conftest import header

PARTICIPANTS = 20
STALLING = QoSProfile(depth=100, reliability=QoSReliabilityPolicy.RELIABLE)
OTHER = {
    "best effort": QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT),
    "all": QoSProfile(history=QoSHistoryPolicy.KEEP_ALL, reliability=QoSReliabilityPolicy.RELIABLE),
    "latched, which the node does not offer": QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL),
}


def all_accounted(client):
    values = client.report()[2]
    received, *others = (int(values[name]) for name in ("received", "processed", "dropped", "rejected"))
    return received == sum(others)


def test_a_listener_that_stalls_delays_nobody(start):
    """It takes reliable messages and never reads one."""
    start[0]()
    client = start[1]()
    stalled = rclpy.create_node("stalled")
    stalled.create_subscription(Image, "segmentation/label", lambda message: None, STALLING)
    client.wait(lambda: client.node.count_subscribers("segmentation/label") == 2)
    for number in range(30):
        assert client.ask(1 + number / 10).header == header(1 + number / 10)
    assert all_accounted(client)
    stalled.destroy_node()


@pytest.mark.parametrize("qos", OTHER)
def test_listeners_of_another_qos_disturb_nobody(start, qos):
    start[0]()
    client = start[1]()
    answers = []
    client.node.create_subscription(Image, "segmentation/label", answers.append, OTHER[qos])
    client.wait(lambda: client.node.count_subscribers("segmentation/label") == 2)
    for number in range(5):
        client.ask(1 + number / 10)
    if "latched" in qos:
        assert answers == []
    else:
        client.wait(lambda: answers)


def test_a_burst_is_answered_by_its_newest(start):
    start[0]()
    client = start[1]()
    for burst in range(1, 6):
        stamps = [10.0 * burst + number / 100 for number in range(10)]
        for stamp in stamps:
            client.send(stamp)
        client.wait(
            lambda last=stamps[-1]: client.answers["label"] and client.answers["label"][-1].header == header(last)
        )
    assert all_accounted(client)


def test_a_camera_that_is_unplugged_and_comes_back(start):
    node = start[0]()
    client = start[1]()
    client.ask(1.0)
    client.node.destroy_publisher(client.publisher)
    client.wait(lambda: "nobody publishes /image" in client.report()[1])
    client.publisher = client.node.create_publisher(Image, "image", 1)
    client.wait(lambda: client.publisher.get_subscription_count() and node.count_publishers("/image"))
    client.ask(60.0)
    client.wait(lambda: client.report()[1] != "nobody publishes /image; check its name and QoS")
    assert client.count("resets") == 1 and all_accounted(client)


def test_two_cameras_on_one_topic_are_answered_and_warned_of(start):
    start[0]()
    client = start[1]()
    second = client.node.create_publisher(Image, "image", 1)
    for number in range(10):
        second.publish(client.send(1 + number / 10))
        client.ask(1.05 + number / 10)
    text = client.report()[1]
    assert "2 publishers on /image" in text or "no new image" in text
    client.node.destroy_publisher(second)
    assert all_accounted(client)


def test_a_crowd_of_participants_comes_and_goes(start):
    start[0]()
    client = start[1]()
    contexts = []
    for number in range(PARTICIPANTS):
        context = Context()
        rclpy.init(context=context)
        node = rclpy.create_node(f"robot{number}", context=context)
        node.create_subscription(Image, "/segmentation/label", lambda message: None, 1)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        thread = threading.Thread(target=executor.spin)
        thread.start()
        contexts.append((context, executor, thread, node))
    for number in range(10):
        client.ask(1 + number / 10)
    for context, executor, thread, node in contexts:
        executor.shutdown()
        thread.join()
        node.destroy_node()
        context.shutdown()
    client.ask(3.0)
    assert all_accounted(client)

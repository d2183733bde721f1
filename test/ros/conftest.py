import threading
import time

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import QoSProfile, QoSReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from vidseg_ros.ros.conversions import to_image  # noqa: E402
from vidseg_ros.ros.executor import EnduringExecutor  # noqa: E402
from vidseg_ros.ros.segmentation.node import SegmentationNode  # noqa: E402
from vidseg_ros.ros.transport import use_large_image_transport  # noqa: E402

TIMEOUT = 20.0


@pytest.fixture(scope="session", autouse=True)
def ros():
    use_large_image_transport()
    rclpy.init()
    yield
    rclpy.shutdown()


def picture(height=48, width=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def header(seconds, frame_id="optical"):
    result = Header(frame_id=frame_id)
    result.stamp.sec, result.stamp.nanosec = divmod(round(seconds * 1e9), 10**9)
    return result


class Client:
    """A camera and a listener, in a node of their own."""

    def __init__(self, camera="", compressed=False, outputs=("label",)):
        prefix = f"{camera}/" if camera else ""
        self.camera = camera
        self.node = rclpy.create_node(f"client{time.monotonic_ns()}")
        kind, topic = (CompressedImage, "image/compressed") if compressed else (Image, "image")
        reliable = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.RELIABLE)
        self.publisher = self.node.create_publisher(kind, prefix + topic, reliable)
        self.answers = {output: [] for output in outputs}
        for output in outputs:
            self.node.create_subscription(Image, f"segmentation/{prefix}{output}", self.answers[output].append, 50)
        self.reports = []
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self.reports.append, 10)

    def send(self, seconds, rgb=None, **fields):
        message = to_image(picture() if rgb is None else rgb, "rgb8", header(seconds))
        for name, value in fields.items():
            setattr(message, name, value)
        self.publisher.publish(message)
        return message

    def wait(self, done, timeout=TIMEOUT):
        deadline = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < deadline, "nothing came in time"
            rclpy.spin_once(self.node, timeout_sec=0.05)

    def ask(self, seconds, rgb=None, output="label", **fields):
        """Send a frame and return its answer."""
        before = len(self.answers[output])
        self.send(seconds, rgb, **fields)
        self.wait(lambda: len(self.answers[output]) > before)
        return self.answers[output][-1]

    def report(self, index=0):
        """Return level, text and values of a diagnostics status sent from now on."""
        before = len(self.reports) + 1  # the next may be on its way already
        self.wait(lambda: len(self.reports) > before)
        status = self.reports[-1].status[index]
        return status.level, status.message, {pair.key: pair.value for pair in status.values}

    def count(self, name, index=0):
        return int(self.report(index)[2][name])


@pytest.fixture
def start(checkpoint_file):
    """Start a node with parameters, and clients for it, all spun and destroyed for the test."""
    running = []

    def start_node(activate=True, warm=True, cli_args=None, **parameters):
        values = {"model": str(checkpoint_file), "device": "cpu", "diagnostics_period": 0.1} | parameters
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        node = SegmentationNode(parameter_overrides=overrides, cli_args=cli_args)
        executor = EnduringExecutor()
        executor.add_node(node)
        thread = threading.Thread(target=executor.spin)
        thread.start()
        running.append((node, executor, thread, []))
        if activate:
            node.autostart()
        if warm and node._warm_up:
            node._warm_up._thread.join()
        return node

    def start_client(*args, **kwargs):
        """Make a client of the newest node and wait until both have found each other."""
        client = Client(*args, **kwargs)
        running[-1][3].append(client)
        client.wait(client.publisher.get_subscription_count)
        camera = running[-1][0]._cameras[client.camera]
        client.wait(camera.subscription.get_publisher_count)
        client.wait(lambda: all(camera.wants(output) for output in client.answers))
        client.wait(lambda: all(s.get_publisher_count() for s in client.node.subscriptions))
        return client

    yield start_node, start_client
    for node, executor, thread, clients in running:
        executor.shutdown()
        thread.join()
        node.finish()
        node.destroy_node()
        for client in clients:
            client.node.destroy_node()


def remapped(**topics):
    return {"cli_args": ["--ros-args", *(w for k, v in topics.items() for w in ("-r", f"{k}:={v}"))]}


@pytest.fixture
def spun():
    """Spin nodes on a thread of their own, and destroy them."""
    executor, nodes = SingleThreadedExecutor(), []
    thread = threading.Thread(target=executor.spin)

    def add(node):
        nodes.append(node)
        executor.add_node(node)
        if not thread.is_alive():
            thread.start()
        return node

    yield add
    executor.shutdown()
    if thread.is_alive():
        thread.join()
    for node in nodes:
        node.destroy_node()

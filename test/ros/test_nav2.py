"""What nav2's semantic segmentation layer is told, against its documented contract (docs/nav2.md)."""

import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
import yaml

rclpy = pytest.importorskip("rclpy")

from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from test.ros.conftest import picture  # noqa: E402
from vidseg_ros.labels import CAMVID, CITYSCAPES, IGNORE  # noqa: E402

ROOT = Path(__file__).parents[2]
SENSOR_DATA = QoSProfile(depth=50, reliability=QoSReliabilityPolicy.BEST_EFFORT)  # as the layer subscribes
COSTS = range(255)  # 255 is no information


@pytest.fixture(scope="module")
def layer():
    text = (ROOT / "config" / "nav2_semantic_segmentation.yaml").read_text()
    parameters = yaml.safe_load(text)["local_costmap"]["local_costmap"]["ros__parameters"]
    return parameters["semantic_segmentation_layer"]


def test_labels_and_confidence_are_what_the_layer_takes(start, layer):
    """Heard as the layer hears them: best effort, mono8, a byte a pixel, matched by equal stamps."""
    start_node, start_client = start
    node, camera = start_node(), layer["camera"]
    client = start_client(outputs=("label",))
    heard = {kind: [] for kind in ("segmentation_topic", "confidence_topic")}
    for kind, messages in heard.items():
        client.node.create_subscription(Image, camera[kind], messages.append, SENSOR_DATA)
    client.wait(lambda: all(node._cameras[""].wants(output) for output in ("label", "confidence")))
    client.wait(lambda: node._cameras[""].publishers["label"].get_subscription_count() == 2)
    sent = []

    def answered():
        if len(sent) <= len(heard["segmentation_topic"]):
            sent.append(client.send(1 + len(sent) / 10, picture(48, 64, len(sent))))
        return len(heard["confidence_topic"]) > 2  # comes once its step is warm

    client.wait(answered)
    stamps = [(m.header.stamp.sec, m.header.stamp.nanosec) for m in heard["segmentation_topic"]]
    for confidence in heard["confidence_topic"]:
        stamp = confidence.header.stamp.sec, confidence.header.stamp.nanosec
        label = heard["segmentation_topic"][stamps.index(stamp)]
        assert label.header == confidence.header
        assert label.header in [message.header for message in sent]
        for message in (label, confidence):
            assert (message.encoding, message.height, message.width, message.step) == ("mono8", 48, 64, 64)
            assert len(message.data) == 48 * 64  # the layer reads data[v * width + u]
        assert set(np.unique(label.data)) <= {*range(len(CAMVID)), IGNORE}


def test_every_class_has_a_cost(layer):
    camera = layer["camera"]
    kinds = {kind: camera[kind] for kind in camera["class_types"]}
    named = [name for kind in kinds.values() for name in kind["classes"]]
    assert sorted(named) == sorted(CAMVID.names)
    for kind in kinds.values():
        assert kind["base_cost"] in COSTS
        assert kind["max_cost"] in COSTS
        assert kind["base_cost"] <= kind["max_cost"]
        assert kind["mark_confidence"] in range(256)
    assert all(name in camera["alive"]["classes"] for name in ("pedestrian", "car", "bicyclist"))
    assert not camera["free"]["max_cost"]


def test_the_page_names_every_class_of_cityscapes():
    line = (ROOT / "docs" / "nav2.md").read_text().replace("\n  ", " ")
    words = line[line.index("free `[") : line.index("bicycle]`")] + "bicycle]"
    named = [name for part in words.split("[")[1:] for name in part.split("]")[0].split(", ")]
    assert sorted(named) == sorted(CITYSCAPES.names)


def test_the_class_map_reaches_who_comes_late(fake_label_info, start):
    """Reliable, transient local, and without the id of what is unlabelled."""
    node = start[0](activate=False)
    fake_label_info.watch(node)
    node.trigger_configure()
    profile, message = fake_label_info.profile, fake_label_info.message
    assert profile.durability == QoSDurabilityPolicy.TRANSIENT_LOCAL
    assert profile.reliability == QoSReliabilityPolicy.RELIABLE
    assert {entry.class_id: entry.class_name for entry in message.class_map} == dict(enumerate(CAMVID.names))
    assert IGNORE not in [entry.class_id for entry in message.class_map]


@pytest.fixture
def fake_label_info(monkeypatch):
    """Stand in for vision_msgs, which is on no registry."""

    class Message:
        def __init__(self, **fields):
            self.header = Header()
            self.__dict__.update(fields)

    package, messages = types.ModuleType("vision_msgs"), types.ModuleType("vision_msgs.msg")
    package.__spec__ = ModuleSpec("vision_msgs", None)
    messages.LabelInfo, messages.VisionClass = Message, Message
    monkeypatch.setitem(sys.modules, "vision_msgs", package)
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", messages)
    watched = types.SimpleNamespace(profile=None, message=None)

    def watch(node):
        create, destroy = node.create_publisher, node.destroy_publisher
        publisher = types.SimpleNamespace(publish=lambda message: setattr(watched, "message", message))

        def create_publisher(kind, topic, qos, **options):
            if kind is not Message:
                return create(kind, topic, qos, **options)
            watched.profile = qos
            return publisher

        monkeypatch.setattr(node, "create_publisher", create_publisher)
        monkeypatch.setattr(node, "destroy_publisher", lambda entity: entity is publisher or destroy(entity))

    watched.watch = watch
    return watched

"""Another DDS than that of the node reads its label images: Cyclone DDS, by its Python binding."""

import os
from dataclasses import dataclass

import numpy as np
import pytest

from test.ros.conftest import header

pytest.importorskip("cyclonedds")

CONFIG = """
<CycloneDDS><Domain>
  <General><Interfaces><NetworkInterface name="lo" multicast="false"/></Interfaces></General>
  <Discovery><ParticipantIndex>auto</ParticipantIndex><Peers><Peer address="127.0.0.1"/></Peers></Discovery>
</Domain></CycloneDDS>
"""


@pytest.fixture
def labels(monkeypatch):
    """A reader of the labels."""
    monkeypatch.setenv("CYCLONEDDS_URI", CONFIG)
    from cyclonedds.core import Policy, Qos  # noqa: PLC0415 - reads its configuration when it is imported
    from cyclonedds.domain import DomainParticipant  # noqa: PLC0415
    from cyclonedds.idl import IdlStruct, types  # noqa: PLC0415
    from cyclonedds.sub import DataReader  # noqa: PLC0415
    from cyclonedds.topic import Topic  # noqa: PLC0415
    from cyclonedds.util import duration  # noqa: PLC0415

    @dataclass
    class Time(IdlStruct, typename="builtin_interfaces::msg::dds_::Time_"):
        sec: types.int32
        nanosec: types.uint32

    @dataclass
    class Header(IdlStruct, typename="std_msgs::msg::dds_::Header_"):
        stamp: Time
        frame_id: str

    @dataclass
    class Image(IdlStruct, typename="sensor_msgs::msg::dds_::Image_"):
        header: Header
        height: types.uint32
        width: types.uint32
        encoding: str
        is_bigendian: types.uint8
        step: types.uint32
        data: types.sequence[types.uint8]

    participant = DomainParticipant(int(os.environ["ROS_DOMAIN_ID"]))
    qos = Qos(Policy.Reliability.Reliable(duration(seconds=1)), Policy.History.KeepLast(10))
    yield DataReader(participant, Topic(participant, "rt/segmentation/label", Image), qos)
    del participant


def test_labels_are_read_by_another_dds(labels, start):
    node = start[0]()
    client = start[1]()
    read = []
    # each side finds the other by itself, and what is sent before both have is lost
    client.wait(lambda: node.count_subscribers("/segmentation/label") == 2 and labels.get_matched_publications())
    for number in range(10):
        answer = client.ask(1 + number / 10)
        client.wait(lambda: read.extend(labels.take(10)) or read)
        message = read.pop()
        read.clear()
        assert (message.header.stamp.sec, message.header.frame_id) == (answer.header.stamp.sec, header(0).frame_id)
        assert (message.height, message.width, message.encoding) == (answer.height, answer.width, "mono8")
        np.testing.assert_array_equal(
            np.frombuffer(bytes(message.data), np.uint8), np.frombuffer(answer.data, np.uint8)
        )

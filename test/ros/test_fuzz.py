"""Messages as no camera sends them: each is a picture or a rejected frame, and the node goes on."""

from array import array

import cv2
import numpy as np
import pytest
from hypothesis import strategies as st
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from test.fuzz.drawing import COUNTS, TEXTS, fuzz
from vidseg_ros.ros.parameters import Parameters
from vidseg_ros.ros.segmentation.node import SegmentationNode
from vidseg_ros.ros.spin import BAD_INPUT

TYPES = ("8U", "8S", "16U", "16S", "32S", "32F", "64F")
ENCODINGS = (
    *("rgb8", "bgr8", "rgba8", "bgra8", "rgb16", "bgr16", "rgba16", "bgra16", "mono8", "mono16"),
    *(f"bayer_{pattern}{bits}" for pattern in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16)),
    *("uyvy", "yuyv", "yuv422", "yuv422_yuy2", "nv12", "nv21", "nv24", ""),
    *(f"{kind}C{channels}" for kind in TYPES for channels in (1, 2, 3, 4, 5)),
)
SIZES = st.one_of(st.integers(0, 20), st.sampled_from([2**16, 2**31, 2**32 - 1]))
TIMES = st.sampled_from([-(2**31), -1, 0, 1, 1_700_000_000, 2**31 - 1])


@st.composite
def headers(draw):
    header = Header(frame_id=draw(st.text(max_size=3).filter(lambda text: "\0" not in text)))
    header.stamp.sec, header.stamp.nanosec = draw(TIMES), draw(st.sampled_from([0, 5, 10**9 - 1, 10**9, 2**32 - 1]))
    return header


@st.composite
def images(draw):
    """Images whose step and data fit their sizes, mostly; of any encoding."""
    width, height, channels = draw(SIZES), draw(SIZES), draw(st.integers(0, 8))
    step = draw(st.one_of(st.just(min(width * channels, 2**32 - 1)), SIZES))
    length = draw(st.one_of(st.just(min(step * height, 5000)), st.integers(0, 600)))
    fill = draw(st.integers(0, 255))
    return Image(
        header=draw(headers()), width=width, height=height, step=step, data=array("B", bytes([fill]) * length),
        encoding=draw(st.one_of(st.sampled_from(ENCODINGS), st.text(max_size=8).filter(lambda text: "\0" not in text))),
        is_bigendian=draw(st.integers(0, 255)),
    )  # fmt: skip


@st.composite
def compressed(draw):
    """JPEG and PNG of any kind, cut and damaged, and what is neither."""
    shape = (draw(st.integers(1, 20)), draw(st.integers(1, 20)), *draw(st.sampled_from([(), (3,), (4,)])))
    suffix = draw(st.sampled_from([".png", ".jpg", ".bmp", ".webp", ".tiff"]))
    kind = draw(st.sampled_from([np.uint8, np.uint16])) if suffix in {".png", ".tiff"} else np.uint8
    pixels = np.full(shape, draw(st.integers(0, 255)), kind)
    whole = cv2.imencode(suffix, pixels[..., :3] if suffix == ".jpg" and len(shape) == 3 else pixels)[1].tobytes()
    data = bytearray(draw(st.one_of(st.just(whole), st.binary(max_size=200))))
    del data[draw(st.one_of(st.just(len(data)), st.integers(0, len(data)))) :]
    for place, value in draw(st.lists(st.tuples(st.integers(0, 199), st.integers(0, 255)), max_size=3)):
        data[place : place + 1] = bytes([value]) if place < len(data) else b""
    format_ = draw(st.sampled_from(["", "png", "jpeg", "16UC1; png compressed", "rgb8; jpeg compressed bgr8", "h264"]))
    return CompressedImage(header=draw(headers()), format=format_, data=array("B", bytes(data)))


@pytest.fixture(scope="module", params=["raw", "compressed"])
def fuzzed(request, tmp_path_factory):
    """An active node without an executor: the test puts messages in and takes its worker's part."""
    from test.conftest import wakeful  # noqa: PLC0415 - needs a network once for all cases
    from vidseg_ros.checkpoints.checkpoint import Checkpoint  # noqa: PLC0415
    from vidseg_ros.labels import CAMVID  # noqa: PLC0415

    path = tmp_path_factory.mktemp("fuzz") / "tiny.safetensors"
    Checkpoint(wakeful(), CAMVID).save(path)
    values = {"model": str(path), "device": "cpu", "engine": "torch", "image_transport": request.param}
    node = SegmentationNode(parameter_overrides=[Parameter(name, value=value) for name, value in values.items()])
    node.trigger_configure()
    yield node
    node.destroy_node()


def process(node, data):
    """Give the node a serialised message; it must be counted as a picture or as rejected."""
    (camera,) = node._cameras.values()
    statistics = camera.statistics
    done = statistics.processed + statistics.rejected
    node._process([(camera, camera.receive(data))])
    assert statistics.processed + statistics.rejected == done + 1 == statistics.received
    assert "\n" not in statistics.last_problem
    camera.report(active=True)


@fuzz(data=st.data())
def test_any_message_is_a_picture_or_a_rejected_frame(fuzzed, data):
    (camera,) = fuzzed._cameras.values()
    message = data.draw(compressed() if camera._message_type is CompressedImage else images())
    whole = bytes(serialize_message(message))
    cut = data.draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))
    process(fuzzed, whole[:cut])


@fuzz(data=st.binary(max_size=400))
def test_any_bytes_are_a_picture_or_a_rejected_frame(fuzzed, data):
    process(fuzzed, data)


VALUES = st.one_of(
    st.booleans(), TEXTS.filter(lambda text: "\0" not in text), st.floats(), st.integers(-(2**63), 2**63 - 1),
    st.lists(st.integers(-5, 2**40), max_size=3), st.lists(TEXTS.filter(lambda text: "\0" not in text), max_size=3),
)  # fmt: skip


@fuzz(share=0.5, values=st.dictionaries(st.sampled_from(sorted(Parameters.__dataclass_fields__)), VALUES, max_size=3))
def test_any_parameters_are_taken_or_refused_in_one_line(values):
    """Where they are taken, the model is not there, and configuring says so."""
    given = {"model": "/no/such.safetensors"} | {name: value for name, value in values.items() if name != "model"}
    try:
        node = SegmentationNode(parameter_overrides=[Parameter(name, value=value) for name, value in given.items()])
    except BAD_INPUT as error:
        COUNTS["refused"] += 1
        assert str(error)
        return
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert node._problem and "\n" not in node._problem
    node.destroy_node()


def test_after_it_all_a_picture_is_a_picture(fuzzed):
    (camera,) = fuzzed._cameras.values()
    before = camera.statistics.processed
    pixels = np.full((8, 8, 3), 90, np.uint8)
    message = Image(width=8, height=8, encoding="rgb8", step=24, data=array("B", pixels.tobytes()))
    if camera._message_type is CompressedImage:
        message = CompressedImage(format="png", data=array("B", cv2.imencode(".png", pixels)[1].tobytes()))
    process(fuzzed, bytes(serialize_message(message)))
    assert camera.statistics.processed == before + 1

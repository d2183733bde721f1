import sys
import types
from array import array
from importlib.machinery import ModuleSpec

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage, Image

from test.ros.conftest import header, picture
from vidseg_ros.errors import UserError
from vidseg_ros.io.image_messages import (
    BadFrame,
    CvBridgeDecoder,
    RosbagsDecoder,
    compressed_to_rgb,
    encoding_family,
    find_decoder,
    image_to_rgb,
)
from vidseg_ros.ros.conversions import to_image

DECODER = RosbagsDecoder()


def message(pixels, encoding, padding=0):
    """Build an Image by hand, each row followed by ``padding`` bytes of rubbish."""
    rows = np.ascontiguousarray(pixels).reshape(pixels.shape[0], -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    height, width = pixels.shape[:2]
    data = array("B", rows.tobytes())
    return Image(height=height, width=width, encoding=encoding, step=rows.shape[1], data=data)


RGB = picture(6, 10)
ENCODINGS = {
    "rgb8": (RGB, RGB),
    "bgr8": (RGB[..., ::-1], RGB),
    "rgba8": (np.dstack([RGB, RGB[..., :1]]), RGB),
    "bgra8": (np.dstack([RGB[..., ::-1], RGB[..., :1]]), RGB),
    "8UC3": (RGB, RGB),
    "mono8": (RGB[..., 0], RGB[..., :1].repeat(3, 2)),
    "rgb16": (RGB.astype(np.uint16) * 257, RGB),
    "mono16": (RGB[..., 0].astype(np.uint16) * 257, RGB[..., :1].repeat(3, 2)),
}


@pytest.mark.parametrize("padding", [0, 1, 2, 5])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encodings_with_and_without_row_padding(encoding, padding):
    pixels, expected = ENCODINGS[encoding]
    np.testing.assert_array_equal(image_to_rgb(message(pixels, encoding, padding), DECODER), expected)


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("encoding", ["bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"])
def test_bayer_of_one_colour(encoding, padding):
    """A red picture: only the red sites of the pattern are lit."""
    pattern = encoding.removeprefix("bayer_")[:4]
    tile = np.array([200 * (site == "r") for site in pattern], np.uint8).reshape(2, 2)
    rgb = image_to_rgb(message(np.tile(tile, (4, 4)), encoding, padding), DECODER)
    assert rgb[2:-2, 2:-2].reshape(-1, 3).tolist() == [[200, 0, 0]] * 16


@pytest.mark.parametrize("encoding", ["yuv422", "uyvy", "yuyv", "yuv422_yuy2"])
def test_yuv_grey(encoding):
    luma_first = encoding in {"yuyv", "yuv422_yuy2"}
    pixels = np.full((4, 6, 2), 128, np.uint8)
    pixels[..., 0 if luma_first else 1] = 100
    rgb = image_to_rgb(message(pixels, encoding, 2), DECODER)
    assert np.ptp(rgb) <= 2  # grey everywhere
    assert abs(int(rgb[0, 0, 0]) - 98) <= 2  # (100 - 16) * 255 / 219


def test_big_endian():
    pixels, expected = ENCODINGS["mono16"]
    swapped = message(pixels.byteswap(), "mono16")
    swapped.is_bigendian = 1
    np.testing.assert_array_equal(image_to_rgb(swapped, DECODER), expected)


def test_decoder_of_this_machine_works():
    np.testing.assert_array_equal(image_to_rgb(message(RGB[..., ::-1], "bgr8"), find_decoder()), RGB)


def test_cv_bridge_is_asked_for_tight_rgb8_where_it_works(monkeypatch):
    """cv_bridge is on no registry: a stand-in shows what the node asks of it."""

    class CvBridge:
        def encoding_to_dtype_with_channels(self, encoding):
            return "uint8", {"bgr8": 3}[encoding]

        def imgmsg_to_cv2(self, message, wanted):
            assert (wanted, message.step) == ("rgb8", 3 * message.width)
            return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)[..., ::-1]

    fake = types.ModuleType("cv_bridge")
    fake.CvBridge, fake.__spec__ = CvBridge, ModuleSpec("cv_bridge", None)
    monkeypatch.setitem(sys.modules, "cv_bridge", fake)
    assert isinstance(find_decoder(), CvBridgeDecoder) == (int(np.__version__.split(".")[0]) < 2)
    decoder = CvBridgeDecoder()
    np.testing.assert_array_equal(image_to_rgb(message(RGB[..., ::-1], "bgr8", 5), decoder), RGB)
    with pytest.raises(BadFrame, match="unknown encoding 'rgb9'"):
        image_to_rgb(message(RGB, "rgb9"), decoder)


def test_missing_decoder_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "rosbags.image", None)
    with pytest.raises(UserError, match="pip install rosbags-image"):
        find_decoder()


def test_planar_encodings_are_refused_by_name():
    with pytest.raises(BadFrame, match="'nv12' is not supported"):
        image_to_rgb(message(RGB, "nv12"), DECODER)


@given(st.text(max_size=12), st.integers(0, 40), st.integers(0, 20), st.integers(0, 200), st.binary(max_size=600))
def test_garbage_is_a_bad_frame_or_a_picture(encoding, width, height, step, data):
    garbage = Image(height=height, width=width, encoding=encoding, step=step, data=array("B", data))
    try:
        rgb = image_to_rgb(garbage, DECODER)
    except BadFrame as problem:
        assert "\n" not in str(problem)
    else:
        assert rgb.shape[2] == 3


def test_compressed():
    png = CompressedImage(format="png", data=cv2.imencode(".png", RGB[..., ::-1])[1].tobytes())
    np.testing.assert_array_equal(compressed_to_rgb(png), RGB)
    grey = CompressedImage(format="png", data=cv2.imencode(".png", RGB[..., 0])[1].tobytes())
    np.testing.assert_array_equal(compressed_to_rgb(grey), RGB[..., :1].repeat(3, 2))


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_truncated_compressed_images_are_refused_at_any_cut(suffix):
    data = cv2.imencode(suffix, picture(40, 60))[1].tobytes()
    compressed_to_rgb(CompressedImage(data=data + bytes(100)))  # zeros behind the end are common
    for cut in (0, 1, 10, len(data) // 2, len(data) - 200):
        with pytest.raises(BadFrame):
            compressed_to_rgb(CompressedImage(data=data[:cut]))


def test_encoding_families():
    same = {encoding_family(e) for e in ("rgb8", "bgr8", "rgba8", "bgra8", "8UC3")}
    others = {encoding_family(e) for e in ("mono8", "bayer_rggb8", "yuv422_yuy2", "nv12")}
    assert len(same) == 1
    assert len(others) == 3  # nv12 is yuv
    assert not same & others


def test_to_image_keeps_header_and_pixels():
    image = to_image(RGB[:, ::2], "rgb8", header(3.5))
    assert (image.header, image.width, image.height, image.step) == (header(3.5), 5, 6, 15)
    assert bytes(image.data) == RGB[:, ::2].tobytes()

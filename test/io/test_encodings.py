"""Every encoding, order of bytes and packing of rows, against values computed by hand."""

import cv2
import numpy as np
import pytest

from test.io.making import compressed, image, write_bag
from vidseg_ros.io.encodings import ENCODINGS
from vidseg_ros.io.frame import Frame
from vidseg_ros.io.image_messages import (
    BadFrame,
    compressed_picture,
    encoding_family,
    find_decoder,
    image_to_rgb,
)
from vidseg_ros.io.recordings import open_recordings

# one pixel of red, green and blue 200, 100, 50 as each encoding has it
PIXEL = {
    "rgb8": [200, 100, 50],
    "bgr8": [50, 100, 200],
    "rgba8": [200, 100, 50, 7],
    "bgra8": [50, 100, 200, 7],
    "8UC3": [200, 100, 50],
    "rgb16": [51_400, 25_700, 12_850],  # 257 times as much
    "bgr16": [12_850, 25_700, 51_400],
    "rgba16": [51_656, 25_956, 13_106, 7],  # 256 more: not yet the next value
    "bgra16": [13_106, 25_956, 51_656, 7],
}
GREY = {"mono8": 100, "8UC1": 100, "mono16": 25_956}
MOSAIC = {"r": 200, "g": 100, "b": 50}
LUMA = {"uyvy": (1, 0), "yuv422": (1, 0), "yuyv": (0, 1), "yuv422_yuy2": (0, 1)}  # places of brightness and colour


def picture_of(encoding):
    """Return samples (6, 8 x channels) of one colour, and the RGB that they show (by BT.601 where they are YUV)."""
    if encoding in PIXEL:
        return np.tile(PIXEL[encoding], (6, 8)), [200, 100, 50]
    if encoding in GREY:
        return np.full((6, 8), GREY[encoding]), [100, 100, 100]
    if encoding in LUMA:  # Y 81, U 90, V 240 is red
        pair = [0] * 4
        luma, chroma = LUMA[encoding]
        pair[luma], pair[luma + 2], pair[chroma], pair[chroma + 2] = 81, 81, 90, 240
        return np.tile(pair, (6, 4)), [255, 0, 0]
    tile = [MOSAIC[site] for site in encoding.removeprefix("bayer_")[:4]]
    return np.tile(np.reshape(tile, (2, 2)), (3, 4)) * (257 if encoding.endswith("16") else 1), [200, 100, 50]


@pytest.mark.parametrize("padding", [0, 1, 6])
@pytest.mark.parametrize("big", [0, 1])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding(encoding, big, padding):
    samples, expected = picture_of(encoding)
    deep = encoding.endswith("16")
    rows = samples.astype((">u2" if big else "<u2") if deep else "u1").view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    message = image(rows, 0, encoding)
    message.width, message.is_bigendian = 8, big
    rgb = image_to_rgb(message, find_decoder())
    assert rgb.shape == (6, 8, 3) and rgb.dtype == np.uint8
    inner = rgb[1:-1, 1:-1] if encoding.startswith("bayer") else rgb
    assert np.abs(inner.astype(int) - expected).max() <= (1 if encoding in LUMA else 0)


def test_all_values_of_16_bits_become_what_is_stated():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    message = image(values.view(np.uint8), 0, "mono16")
    message.width = 256
    np.testing.assert_array_equal(image_to_rgb(message, find_decoder())[..., 1], values // 257)


NO_PICTURES = [
    "8SC3",
    "16SC3",
    "16UC1",
    "16UC3",
    "32SC1",
    "32FC1",
    "32FC3",
    "64FC3",
    "8UC2",
    "8UC4",
    "16UC",
    "nv12",
    "nv24",
]


@pytest.mark.parametrize("encoding", NO_PICTURES)
def test_numbers_without_a_range_are_refused(encoding):
    """32FC3 in 0..1 was black, 300 of 16SC3 became 44."""
    with pytest.raises(BadFrame, match=f"encoding '{encoding}'"):
        image_to_rgb(image(np.zeros((4, 48), np.uint8), 0, encoding), find_decoder())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("yuyv", "yuv422_yuy2"),
        ("uyvy", "yuyv"),
        ("8UC1", "mono8"),
        ("mono8", "mono16"),
        ("8UC3", "bgr8"),
        ("rgb8", "bgra16"),
    ],
)
def test_encodings_of_one_family(one, other):
    assert encoding_family(one) == encoding_family(other)


@pytest.mark.parametrize(("one", "other"), [("rgb8", "8UC1"), ("rgb8", "yuyv"), ("mono8", "bayer_rggb8")])
def test_encodings_of_two_families(one, other):
    assert encoding_family(one) != encoding_family(other)


def png(samples):
    return cv2.imencode(".png", samples)[1].tobytes()


BGR = np.tile(np.array([50, 100, 200], np.uint8), (6, 8, 1))
TILE = np.tile(np.array([[200, 100], [100, 50]], np.uint8), (3, 4))  # rggb
FORMATS = {
    "png": (BGR, [200, 100, 50], "color"),
    "": (BGR, [200, 100, 50], "color"),
    "image/png": (BGR, [200, 100, 50], "color"),
    "png; some words": (BGR, [200, 100, 50], "color"),
    "rgb8; png compressed bgr8": (BGR, [200, 100, 50], "color"),
    "rgb16; png compressed bgr16": (BGR.astype(np.uint16) * 257, [200, 100, 50], "color"),
    "mono8; png compressed ": (np.full((6, 8), 100, np.uint8), [100] * 3, "mono"),
    "mono16; png compressed ": (np.full((6, 8), 25_956, np.uint16), [100] * 3, "mono"),
    "jpeg": (np.full((6, 8), 100, np.uint8), [100] * 3, "mono"),
    "bayer_rggb8; png compressed ": (TILE, [200, 100, 50], "bayer"),
    "bayer_rggb16; png compressed ": (TILE.astype(np.uint16) * 257, [200, 100, 50], "bayer"),
    "bayer_rggb8; jpeg compressed bgr8": (BGR, [200, 100, 50], "color"),
    "nv12; jpeg compressed bgr8": (BGR, [200, 100, 50], "color"),
}


@pytest.mark.parametrize("said", FORMATS)
def test_the_format_of_compressed_images_is_asked(said):
    samples, expected, family = FORMATS[said]
    rgb, found = compressed_picture(compressed(png(samples), 0, said))
    assert found == family
    assert (rgb[1:-1, 1:-1] == expected).all(), rgb[2, 2]


@pytest.mark.parametrize(
    "said", ["16UC1; png compressed ", "32FC1; compressedDepth png", "16UC1; compressedDepth", "nv12; png compressed"]
)
def test_compressed_depth_is_no_picture(said):
    """It became a grey picture, though raw 16UC1 is refused."""
    with pytest.raises(BadFrame, match=f"encoding '{said.partition(';')[0]}'"):
        compressed_picture(compressed(png(np.zeros((6, 8), np.uint16)), 0, said))


def test_a_stream_that_turns_grey_starts_afresh(tmp_path):
    jpegs = [cv2.imencode(".jpg", samples)[1].tobytes() for samples in (BGR, BGR, BGR[..., 0])]
    topic = [(number, compressed(data, number, "jpeg")) for number, data in enumerate(jpegs)]
    frames = list(open_recordings(write_bag(tmp_path / "bag", {"/image": topic}))[0].frames())
    assert all(isinstance(frame, Frame) for frame in frames)
    assert [frame.encoding for frame in frames] == ["color", "color", "mono"]

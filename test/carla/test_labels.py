"""Decoding of semantic images against the tables of CARLA's documentation, written out once more."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vidseg_ros.carla.labels import (
    COLORS,
    DECODERS,
    TAGS,
    TAGS_0_9_10,
    TAGS_0_9_14,
    decode_colors,
    decode_tags,
    encode,
    find_tags,
)
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID, CITYSCAPES, IGNORE

# tag: colour, class of Cityscapes, class of CamVid (None: unlabelled)
SINCE_0_9_14 = {
    0: ((0, 0, 0), None, None),
    1: ((128, 64, 128), "road", "road"),
    2: ((244, 35, 232), "sidewalk", "pavement"),
    3: ((70, 70, 70), "building", "building"),
    4: ((102, 102, 156), "wall", "building"),
    5: ((190, 153, 153), "fence", "fence"),
    6: ((153, 153, 153), "pole", "pole"),
    7: ((250, 170, 30), "traffic light", "sign"),
    8: ((220, 220, 0), "traffic sign", "sign"),
    9: ((107, 142, 35), "vegetation", "tree"),
    10: ((152, 251, 152), "terrain", "tree"),
    11: ((70, 130, 180), "sky", "sky"),
    12: ((220, 20, 60), "person", "pedestrian"),
    13: ((255, 0, 0), "rider", "bicyclist"),
    14: ((0, 0, 142), "car", "car"),
    15: ((0, 0, 70), "truck", "car"),
    16: ((0, 60, 100), "bus", "car"),
    17: ((0, 80, 100), "train", "car"),
    18: ((0, 0, 230), "motorcycle", "bicyclist"),
    19: ((119, 11, 32), "bicycle", "bicyclist"),
    20: ((110, 190, 160), None, None),
    21: ((170, 120, 50), None, None),
    22: ((55, 90, 80), None, None),
    23: ((45, 60, 150), None, None),
    24: ((157, 234, 50), "road", "road"),
    25: ((81, 0, 81), None, None),
    26: ((150, 100, 100), None, None),
    27: ((230, 150, 140), None, None),
    28: ((180, 165, 180), None, None),
}
UP_TO_0_9_13 = {
    0: None, 1: "building", 2: "fence", 3: None, 4: "person", 5: "pole", 6: "road", 7: "road", 8: "sidewalk",
    9: "vegetation", 10: "car", 11: "wall", 12: "traffic sign", 13: "sky", 14: None, 15: None, 16: None, 17: None,
    18: "traffic light", 19: None, 20: None, 21: None, 22: "terrain",
}  # fmt: skip
BYTES = st.integers(0, 255)
IMAGES = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6).map(lambda s: (*s, 4)))
EVERY = [(tags, labels) for tags in (TAGS_0_9_10, TAGS_0_9_14) for labels in (CITYSCAPES, CAMVID)]


def pixel(b, g, r, a):
    return np.asarray([[[b, g, r, a]]], np.uint8)


def id_in(labels, name):
    return IGNORE if name is None else labels.id_of(name)


@pytest.mark.parametrize(("labels", "column"), [(CITYSCAPES, 1), (CAMVID, 2)], ids=["cityscapes", "camvid"])
@given(tag=BYTES, rest=st.tuples(BYTES, BYTES, BYTES))
@settings(deadline=None, max_examples=400)
def test_every_tag_of_0_9_14(labels, column, tag, rest):
    expected = SINCE_0_9_14[tag][column] if tag in SINCE_0_9_14 else None
    b, g, a = rest
    assert decode_tags(pixel(b, g, tag, a), TAGS_0_9_14, labels).item() == id_in(labels, expected)


@given(tag=BYTES)
def test_every_tag_up_to_0_9_13(tag):
    assert decode_tags(pixel(0, 0, tag, 255), TAGS_0_9_10, CITYSCAPES).item() == id_in(
        CITYSCAPES, UP_TO_0_9_13.get(tag)
    )


def test_cityscapes_ids_are_tags_less_one():
    for tag in range(1, 20):
        assert decode_tags(pixel(0, 0, tag, 255), TAGS_0_9_14, CITYSCAPES).item() == tag - 1


@pytest.mark.parametrize(("labels", "column"), [(CITYSCAPES, 1), (CAMVID, 2)], ids=["cityscapes", "camvid"])
@pytest.mark.parametrize("tag", SINCE_0_9_14)
@pytest.mark.parametrize("alpha", [0, 255])
def test_every_colour(labels, column, tag, alpha):
    (r, g, b), *names = SINCE_0_9_14[tag]
    assert decode_colors(pixel(b, g, r, alpha), TAGS_0_9_14, labels).item() == id_in(labels, names[column - 1])


@given(image=IMAGES)
@settings(deadline=None)
def test_garbage_is_unlabelled(image):
    known = {color: names[0] for color, *names in SINCE_0_9_14.values()}
    decoded = decode_colors(image, TAGS_0_9_14, CITYSCAPES)
    assert decoded.shape == image.shape[:2]
    for (row, column), number in np.ndenumerate(decoded):
        b, g, r = image[row, column, :3].tolist()
        assert number == id_in(CITYSCAPES, known.get((r, g, b)))


@pytest.mark.parametrize("difference", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_a_colour_that_compression_shifted_is_not_guessed(difference):
    b, g, r = (np.asarray((128, 64, 128)) + difference).tolist()
    assert decode_colors(pixel(b, g, r, 255), TAGS_0_9_14, CITYSCAPES).item() == IGNORE


@pytest.mark.parametrize(("tags", "labels"), EVERY, ids=str)
@pytest.mark.parametrize("encoding", [COLORS, TAGS])
def test_what_is_encoded_is_decoded(tags, labels, encoding):
    ids = np.asarray([[*range(len(labels)), IGNORE]], np.uint8)
    decoded = DECODERS[encoding](encode(ids, labels, encoding, tags), tags, labels)
    old = tags is TAGS_0_9_10
    lost = {"rider", "truck", "bus", "train", "motorcycle", "bicycle", "bicyclist"} if old else set()
    for number, got in zip(ids[0].tolist(), decoded[0].tolist(), strict=True):
        name = labels.names[number] if number < len(labels) else None
        assert got == (IGNORE if name in lost else number)


def test_views_are_read_as_they_are():
    image = encode(np.arange(12, dtype=np.uint8).reshape(3, 4) % 11, CAMVID, COLORS)
    np.testing.assert_array_equal(
        decode_colors(image[::-1, ::2], TAGS_0_9_14, CAMVID), decode_colors(image, TAGS_0_9_14, CAMVID)[::-1, ::2]
    )


@pytest.mark.parametrize(
    ("version", "tags"),
    [("0.9.10", TAGS_0_9_10), ("0.9.13", TAGS_0_9_10), ("0.9.14", TAGS_0_9_14), ("0.9.16-dirty", TAGS_0_9_14),
     ("0.10.0", TAGS_0_9_14)],
)  # fmt: skip
def test_versions(version, tags):
    assert find_tags(version) is tags


@pytest.mark.parametrize("version", ["", "0.9.5", "latest", "0.8"])
def test_an_unknown_version_is_refused(version):
    with pytest.raises(UserError, match=r"use 0\.9\.10 or later"):
        find_tags(version)

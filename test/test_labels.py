import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID, CITYSCAPES, IGNORE, LabelSet

SETS = [CAMVID, CITYSCAPES]
BLACK = (0, 0, 0)


@pytest.mark.parametrize("labels", SETS, ids=lambda s: s.name)
@given(ids=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)))
@settings(deadline=None)
def test_colorize_is_a_lookup(labels, ids):
    ids[0, 0] = IGNORE
    colors = labels.colorize(ids)
    assert colors.shape == (*ids.shape, 3)
    assert colors.dtype == np.uint8
    for (row, column), number in np.ndenumerate(ids):
        assert tuple(colors[row, column]) == (labels.colors[number] if number < len(labels) else BLACK)


def test_colorize_takes_views():
    ids = np.arange(120, dtype=np.uint8).reshape(10, 12) % 11
    np.testing.assert_array_equal(CAMVID.colorize(ids[::2, ::-1]), CAMVID.colorize(ids)[::2, ::-1])


@pytest.mark.parametrize("labels", SETS, ids=lambda s: s.name)
def test_palette_covers_every_id(labels):
    assert labels.palette.shape == (256, 3)
    assert labels.palette.dtype == np.uint8
    assert not labels.palette[len(labels) :].any()
    assert labels.palette[: len(labels)].any(1).all(), "no class looks like an unlabelled pixel"


@pytest.mark.parametrize(("labels", "count"), [(CAMVID, 11), (CITYSCAPES, 19)], ids=lambda x: getattr(x, "name", x))
def test_known_sets(labels, count):
    assert len(labels) == len(set(labels.names)) == len(set(labels.colors)) == count
    assert [labels.id_of(name) for name in labels.names] == list(range(count))


@pytest.mark.parametrize(
    ("labels", "name", "number", "color"),
    [
        (CAMVID, "road", 3, (128, 64, 128)),
        (CAMVID, "bicyclist", 10, (0, 128, 192)),
        (CITYSCAPES, "sidewalk", 1, (244, 35, 232)),
        (CITYSCAPES, "car", 13, (0, 0, 142)),
    ],
)
def test_published_ids_and_colors(labels, name, number, color):
    assert labels.id_of(name) == number
    assert tuple(labels.palette[number]) == color


def test_unfit_sets_are_refused():
    names = tuple(map(str, range(255)))
    assert len(LabelSet("largest", names[:-1], (BLACK,) * 254)) == 254
    with pytest.raises(UserError, match="'big' has 255 classes; use 1 to 254"):
        LabelSet("big", names, (BLACK,) * 255)
    with pytest.raises(UserError, match="0 classes"):
        LabelSet("empty", (), ())
    with pytest.raises(UserError, match="2 names but 1 colours"):
        LabelSet("odd", ("a", "b"), (BLACK,))

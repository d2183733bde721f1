"""What ails a frame, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from vidseg_ros.data import disturbances
from vidseg_ros.data.clip import Clip
from vidseg_ros.data.config import AugmentationConfig
from vidseg_ros.data.disturbances import DISTURBANCES, disturb
from vidseg_ros.data.stills import still_to_clip

GREY = np.full((60, 96, 3), 100, np.uint8)
CHECKED = GREY + 50 * (np.indices((60, 96)).sum(0) % 2)[..., None].astype(np.uint8)


@pytest.mark.parametrize("name", DISTURBANCES)
def test_a_disturbed_frame_is_another_of_the_same_size_and_drawn_alike(name):
    rgb = GREY.copy()
    rgb[:, 48:] = 140
    one, again = (DISTURBANCES[name](rgb, np.random.default_rng(3)) for _ in range(2))
    assert (one.shape, one.dtype) == (rgb.shape, np.uint8)
    assert (one != rgb).any()
    assert (rgb[:, :48] == 100).all()  # as it was
    np.testing.assert_array_equal(one, again)


def test_each_disturbs_as_much_as_it_says():
    rng = np.random.default_rng(0)
    assert disturbances.noisy(GREY, rng).std() == pytest.approx(disturbances.NOISE, rel=0.05)
    gains = [float(disturbances.exposed(GREY, rng).mean()) / 100 for _ in range(300)]
    assert np.log(gains).std() == pytest.approx(disturbances.EXPOSURE, rel=0.15)
    step = GREY.copy()
    step[:, 48:] = 200
    assert disturbances.blurred(step, rng)[0, 47, 0] > 110
    patch = (60 / 6) * (96 / 6) / (60 * 96)
    share = (disturbances.covered(GREY, rng) == 0).all(2).mean()
    assert patch < share <= disturbances.PATCHES * patch


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 60, 140), (1.0, 200, 200)])
def test_so_many_frames_are_disturbed(share, least, most):
    frames = np.repeat(CHECKED[None], 200, 0)
    changed = (disturb(frames, np.random.default_rng(1), share) != frames).any((1, 2, 3)).sum()
    assert least <= changed <= most


def test_training_disturbs_its_clips():
    still = Clip(CHECKED[None], np.zeros((1, 60, 96), np.uint8), np.zeros(1, np.int64), "s")
    calm = AugmentationConfig((1.0, 1.0), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    calm_clip, bad_clip = (
        still_to_clip(still, 8, (96, 60), np.random.default_rng(0), replace(calm, disturbed=share)) for share in (0, 1)
    )
    assert (calm_clip.frames != bad_clip.frames).any((1, 2, 3)).all()
    np.testing.assert_array_equal(calm_clip.labels, bad_clip.labels)

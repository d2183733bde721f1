"""Clips by number, from any mixture of sources."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from test.conftest import SIZE
from vidseg_ros.data import Clip
from vidseg_ros.data.camera_motion import camera_path, still_camera
from vidseg_ros.data.config import AugmentationConfig, SourceConfig
from vidseg_ros.data.mixture import ClipDataset, Stills, class_frequency, open_source
from vidseg_ros.data.occluders import Occluder, cut_out, pass_through
from vidseg_ros.data.photometric import change_light
from vidseg_ros.data.stills import view_of_clip
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID, CITYSCAPES, IGNORE

CALM = AugmentationConfig((1.0, 1.0), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


@pytest.fixture
def film(tmp_path):
    """Five consecutive frames at 15 Hz and a lonely one; frame n shows the grey level and the label n."""
    for number in (0, 1, 2, 3, 4, 9):
        for kind, image in (
            ("frames", np.full((64, 96, 3), 20 * number, np.uint8)),
            ("labels", np.full((64, 96), number, np.uint8)),
        ):
            (tmp_path / kind).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / kind / f"s_{2 * number + 100 * (number > 4):05}.png"), image)
    return str(tmp_path)


def open_dataset_of(film, length, stills=True, share=0.0, motion=CALM, seed=0):
    sources = [SourceConfig(film, 1 - share, stills)] + ([SourceConfig("street", share)] if share else [])
    opened = [open_source(source, length, SIZE, CAMVID, motion) for source in sources]
    return ClipDataset(opened, [source.share for source in sources], (seed,))


def test_stills_come_once_a_round(film):
    clips = open_dataset_of(film, 2)
    for turn in range(2):
        seen = [int(clips[6 * turn + i][1][0, 32, 48]) for i in range(6)]
        assert sorted(seen) == [0, 1, 2, 3, 4, 9]


def test_windows_are_consecutive_frames(film):
    clips = open_dataset_of(film, 3, stills=False)
    seen = {tuple(clips[number][1][:, 32, 48].tolist()) for number in range(40)}
    assert seen == {(0, 1, 2), (1, 2, 3), (2, 3, 4)}


def test_a_clip_depends_on_its_number_alone(film):
    motion = AugmentationConfig()
    first, again = open_dataset_of(film, 3, motion=motion), open_dataset_of(film, 3, motion=motion)
    later = first[5]
    for mine, theirs in zip(later, again[5], strict=True):
        assert torch.equal(mine, theirs)
    assert not torch.equal(first[4][0], later[0])
    assert not torch.equal(open_dataset_of(film, 3, motion=motion, seed=1)[5][0], later[0])


def test_shapes_and_types(film):
    frames, labels = open_dataset_of(film, 3, share=0.5)[0]
    assert (frames.shape, frames.dtype) == ((3, 3, SIZE[1], SIZE[0]), torch.uint8)
    assert (labels.shape, labels.dtype) == ((3, SIZE[1], SIZE[0]), torch.uint8)


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.5, 4, 16), (0.9, 13, 20)])
def test_mixing_ratio(film, share, low, high):
    clips = open_dataset_of(film, 1, share=share)
    from_street = sum(len(clips[number][1].unique()) > 2 for number in range(20))  # a still here: one label and void
    assert low <= from_street <= high


def test_street_in_other_labels(film):
    source = open_source(SourceConfig("street"), 1, SIZE, CITYSCAPES, CALM)
    labels = set(np.unique(source.draw(0, np.random.default_rng(0)).labels)) - {IGNORE}
    assert {CITYSCAPES.id_of("road"), CITYSCAPES.id_of("sky")} <= labels <= set(range(19))


def test_sources_without_clips(film, tmp_path):
    with pytest.raises(UserError, match="has no 7 consecutive frames; shorten clip_length or set stills: true"):
        open_source(SourceConfig(film, stills=False), 7, SIZE, CAMVID, CALM)
    with pytest.raises(UserError, match="data set 'nowhere' does not exist"):
        open_source(SourceConfig("nowhere"), 1, SIZE, CAMVID, CALM)
    split = tmp_path / "city/leftImg8bit/train"
    (split / "bonn").mkdir(parents=True)
    cv2.imwrite(str(split / "bonn/bonn_000000_000019_leftImg8bit.png"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UserError, match="has no labelled frame; name another, or label it first"):
        open_source(SourceConfig(str(split)), 1, SIZE, CAMVID, CALM)


@pytest.mark.parametrize("length", [1, 3])
def test_class_frequency_counts_all_labels_by_their_share(film, length, monkeypatch):
    monkeypatch.setattr("vidseg_ros.data.mixture.COUNTED_DRIVES", 3)
    shown = sorted((Path(film) / "labels").iterdir())[
        : 6 if length == 1 else 5
    ]  # the lonely one is in no clip of three
    files = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in shown]
    mine = np.bincount(np.concatenate(files, None), minlength=256)[:11] / np.concatenate(files, None).size
    street = open_source(SourceConfig("street"), length, SIZE, CAMVID, CALM)
    drives = np.concatenate([street.draw(n, np.random.default_rng(n)).labels for n in range(3)], None)
    theirs = np.bincount(drives, minlength=256)[:11] / drives.size
    stored = open_source(SourceConfig(film, stills=False), length, SIZE, CAMVID, CALM)
    found = class_frequency(ClipDataset([stored, street, street], [3, 1, 0], (0,)), 11)
    expected = 0.75 * mine + 0.25 * theirs
    np.testing.assert_allclose(found, expected / expected.sum())


def test_labels_that_are_all_void_teach_nothing(film):
    for path in (Path(film) / "labels").iterdir():
        cv2.imwrite(str(path), np.full_like(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), IGNORE))
    with pytest.raises(UserError, match="no pixel of the data is labelled; check its label files"):
        class_frequency(open_dataset_of(film, 1), 11)


def test_geometry_is_drawn_once_for_a_clip():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 11, (1, 40, 60), np.uint8).repeat(4, 0)
    clip = Clip(rng.integers(0, 256, (1, 40, 60, 3), np.uint8).repeat(4, 0), labels, np.arange(4.0), "s")
    seen = view_of_clip(clip, (48, 32), np.random.default_rng(0), replace(CALM, zoom_range=(0.8, 2.0), tilt=0.1))
    assert (seen.labels == seen.labels[0]).all()
    assert (seen.frames == seen.frames[0]).all()
    assert seen.labels.shape == (4, 32, 48)


def test_paths_are_smooth_and_still_cameras_stand():
    rng = np.random.default_rng(0)
    path = np.array(camera_path((90, 120), (120, 90), 12, rng, replace(AugmentationConfig(), jitter=0.0)))
    corner = path @ [30, 20, 1]
    track = corner[:, :2] / corner[:, 2:]
    steps = np.diff(track, axis=0)
    assert np.abs(steps).max() > 0
    assert np.abs(np.diff(steps, axis=0)).max() < 0.5 * np.abs(steps).max()
    stands = np.array(camera_path((90, 120), (120, 90), 4, rng, still_camera(replace(AugmentationConfig(), tilt=0.0))))
    np.testing.assert_allclose(stands, stands[:1].repeat(4, 0))


def test_a_tilt_is_perspective():
    path = camera_path((90, 120), (120, 90), 1, np.random.default_rng(1), replace(CALM, tilt=0.3))
    assert np.abs(path[0][2, :2]).max() > 1e-4


def still_with_a_car():
    labels = np.full((60, 80), CAMVID.id_of("road"), np.uint8)
    labels[20:30, 30:50] = CAMVID.id_of("car")
    rgb = np.where(labels == CAMVID.id_of("car"), 200, 50)[..., None].repeat(3, 2).astype(np.uint8)
    return Clip(rgb[None], labels[None], np.zeros(1), "s")


def test_cut_outs_are_regions_of_fit_size():
    found = [cut_out(still_with_a_car(), np.random.default_rng(seed)) for seed in range(12)]
    cars = [occluder for occluder in found if occluder is not None]
    assert 0 < len(cars) < 12, "the road is too large"
    for car in cars:
        assert (car.label, car.mask.shape, car.mask.all()) == (CAMVID.id_of("car"), (10, 20), True)
        assert (car.rgb == 200).all()
    void = Clip(np.zeros((1, 4, 4, 3), np.uint8), np.full((1, 4, 4), IGNORE, np.uint8), np.zeros(1), "s")
    assert cut_out(void, np.random.default_rng(0)) is None


@pytest.mark.parametrize("seed", range(4))
def test_occluders_pass_with_their_labels(seed):
    frames = np.full((3, 60, 80, 3), 50, np.uint8)
    clip = Clip(frames, np.zeros((3, 60, 80), np.uint8), np.arange(3.0), "s")
    occluder = Occluder(np.full((20, 30, 3), 200, np.uint8), np.ones((20, 30), bool), 8)
    pass_through(clip, occluder, np.random.default_rng(seed))
    assert (clip.labels == 8).any()
    inside = np.stack([cv2.erode((plane == 8).astype(np.uint8), np.ones((5, 5))) for plane in clip.labels]) > 0
    outside = np.stack([cv2.dilate((plane == 8).astype(np.uint8), np.ones((5, 5))) for plane in clip.labels]) == 0
    assert (clip.frames[inside] > 150).all()
    assert (clip.frames[outside] == 50).all()


def test_shadows_darken_a_band_that_moves():
    frames = np.full((6, 60, 80, 3), 128, np.uint8)
    dark = change_light(frames, np.random.default_rng(2), replace(CALM, shadows=1.0))
    plain = change_light(frames, np.random.default_rng(2), CALM)
    shaded = (dark < 0.9 * plain).all(3)
    assert 0 < shaded.mean() < 1
    assert (shaded[0] != shaded[-1]).any()
    np.testing.assert_array_equal(dark[~(dark < plain)], plain[~(dark < plain)])


def test_large_stills_are_not_all_kept(film, monkeypatch):
    monkeypatch.setattr("vidseg_ros.data.mixture.CACHED_PIXELS", 2 * 64 * 96)
    source = open_source(SourceConfig(film), 1, SIZE, CAMVID, CALM)
    assert isinstance(source, Stills)
    for number in range(12):
        source.draw(number, np.random.default_rng(0))
    assert source.read.cache_info().currsize == 2

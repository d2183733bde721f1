"""Clips that know their flow: the next frame, read along it, is this one."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from test.conftest import SIZE
from vidseg_ros.data import Clip
from vidseg_ros.data.camera_motion import path_flow, still_camera
from vidseg_ros.data.camvid import camvid_frames
from vidseg_ros.data.config import MEMORY_FLOWS, AugmentationConfig, SourceConfig
from vidseg_ros.data.mixture import ClipDataset, Stills, StreetDrives, Windows, estimated_flow, open_source
from vidseg_ros.data.occluders import Occluder
from vidseg_ros.data.stills import still_to_clip
from vidseg_ros.data.synthetic import street_clip
from vidseg_ros.errors import UserError
from vidseg_ros.flow.estimator import FlowConfig
from vidseg_ros.flow.warp import inside, warp
from vidseg_ros.labels import CAMVID, IGNORE

DAYLIGHT = {"exposure": 0.0, "flicker": 0.0, "noise": 0.0, "blur": 0.0, "shadows": 0.0}
RESTLESS = AugmentationConfig(
    (1.0, 1.5), zoom_speed=0.05, shift_speed=0.02, roll_speed=0.03, tilt=0.15, jitter=0.3, **DAYLIGHT
)
CAR = CAMVID.id_of("car")


def smooth_still(seed=0, height=180, width=240):
    """A picture without hard edges; the labels are blocks of colours."""
    rng = np.random.default_rng(seed)
    rgb = cv2.resize(rng.integers(0, 256, (9, 12, 3)).astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    labels = np.kron(rng.integers(0, 8, (height // 30, width // 30)), np.ones((30, 30))).astype(np.uint8)
    return Clip(rgb[None], labels[None], np.zeros(1, np.int64), "still")


def along(clip):
    """Frames and labels of t + 1 at the places of the pixels of t, and which of them are known in both."""
    flow = torch.from_numpy(clip.flow)
    frames = warp(torch.from_numpy(clip.frames[1:]).permute(0, 3, 1, 2), flow).permute(0, 2, 3, 1).numpy()
    rows, columns = np.mgrid[: clip.labels.shape[1], : clip.labels.shape[2]]
    places = np.rint(np.stack([columns, rows])[None] + clip.flow).astype(int)
    height, width = clip.labels.shape[1:]
    x, y = places[:, 0].clip(0, width - 1), places[:, 1].clip(0, height - 1)
    labels = np.stack([plane[v, u] for plane, v, u in zip(clip.labels[1:], y, x, strict=True)])
    return frames, labels, inside(flow)[:, 0].numpy() & (labels != IGNORE) & (clip.labels[:-1] != IGNORE)


def agreement(clip):
    _, labels, known = along(clip)
    assert known.mean() > 0.5
    return (labels == clip.labels[:-1])[known].mean()


def standing(clip):
    """How many labels stay where they are."""
    known = (clip.labels[1:] != IGNORE) & (clip.labels[:-1] != IGNORE)
    return (clip.labels[1:] == clip.labels[:-1])[known].mean()


@pytest.mark.parametrize("seed", range(6))
def test_flow_of_stills(seed):
    clip = still_to_clip(smooth_still(seed), 4, (160, 120), np.random.default_rng(seed), RESTLESS, flow=True)
    assert (clip.flow.shape, clip.flow.dtype) == ((3, 2, 120, 160), np.float32)
    frames, _, known = along(clip)
    assert np.abs(frames - clip.frames[:-1])[known].mean() < 2.0
    assert agreement(clip) > 0.97
    assert agreement(clip) > standing(clip)


@pytest.mark.parametrize("seed", range(6))
def test_flow_of_an_occluder(seed):
    """It has its own motion; what it hides next does not count."""
    occluder = Occluder(np.full((40, 60, 3), 255, np.uint8), np.ones((40, 60), bool), CAR)
    rng = np.random.default_rng(seed)
    clip = still_to_clip(smooth_still(seed), 4, (160, 120), rng, RESTLESS, occluder, flow=True)
    plain = still_to_clip(smooth_still(seed), 4, (160, 120), np.random.default_rng(seed), RESTLESS, flow=True)
    _, labels, known = along(clip)
    here = clip.labels[:-1] == CAR
    assert (here & known).any()
    assert (labels == CAR)[here & known].mean() > 0.97
    np.testing.assert_array_equal(clip.flow.transpose(0, 2, 3, 1)[~here], plain.flow.transpose(0, 2, 3, 1)[~here])
    assert (labels == clip.labels[:-1])[known & ((labels == CAR) <= here)].mean() > 0.97
    motions = np.unique(clip.flow.transpose(0, 2, 3, 1)[here], axis=0)
    assert len(motions) == 1, "one speed for the whole clip"


@pytest.mark.parametrize("seed", range(3))
def test_flow_of_the_street(seed):
    clip = street_clip(3, (240, 180), np.random.default_rng(seed), flow=True)
    assert (clip.flow.shape, clip.flow.dtype) == ((2, 2, 180, 240), np.float32)
    assert agreement(clip) > standing(clip)
    _, labels, known = along(clip)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    clear = np.stack([cv2.dilate(plane, cross) == cv2.erode(plane, cross) for plane in clip.labels[:-1]])
    assert (labels == clip.labels[:-1])[known & clear].mean() > 0.97, "things hide what is beside their edges"


def test_flow_by_hand():
    """A zoom by 2 about the origin, then a shift, then a point that passes the camera."""
    zoom, shift = np.diag([2.0, 2.0, 1.0]), np.array([[2.0, 0, 5], [0, 2, -3], [0, 0, 1]])
    beyond = np.array([[2.0, 0, 0], [0, 2, 0], [-1, 0, 1]])
    flow = path_flow([np.eye(3), zoom, shift, beyond], (4, 3))
    rows, columns = np.mgrid[:3, :4]
    np.testing.assert_allclose(flow[0], [columns, rows])
    np.testing.assert_allclose(flow[1], np.stack([np.full((3, 4), 5), np.full((3, 4), -3)]))
    assert np.isfinite(flow[2]).all()
    assert path_flow([zoom], (4, 3)).shape == (0, 2, 3, 4)


@pytest.fixture
def film(tmp_path):
    """Three consecutive frames at 15 Hz."""
    for number in range(3):
        still = smooth_still(number)
        for kind, image in (("frames", still.frames[0]), ("labels", still.labels[0])):
            (tmp_path / kind).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / kind / f"s_{2 * number:05}.png"), image)
    return str(tmp_path)


@pytest.mark.parametrize("length", [1, 3])
def test_asking_for_flow_changes_nothing_else(film, length):
    config = replace(AugmentationConfig(), occluders=0.5)
    sources = [open_source(SourceConfig(name), length, SIZE, CAMVID, config) for name in (film, "street")]
    assert [type(source) for source in sources] == [Stills, StreetDrives]
    plain, knowing = ClipDataset(sources, (2, 1), (0,)), ClipDataset(sources, (2, 1), (0,), flow=True)
    for number in range(12):
        (frames, labels), (same_frames, same_labels, flow) = plain[number], knowing[number]
        assert torch.equal(frames, same_frames)
        assert torch.equal(labels, same_labels)
        assert (flow.shape, flow.dtype) == ((length - 1, 2, SIZE[1], SIZE[0]), torch.float32)


def test_the_flow_of_video_is_estimated_where_it_is_wanted(tmp_path):
    """A picture that moves by two pixels a frame; labels and frames are those without flow."""
    picture = smooth_still(height=180, width=260).frames[0]
    for number in range(4):
        for kind, image in (("frames", picture[:, 2 * number :][:, :240]), ("labels", np.zeros((180, 240), np.uint8))):
            (tmp_path / kind).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / kind / f"s_{2 * number:05}.png"), image)
    video, calm = SourceConfig(str(tmp_path), stills=False), still_camera(AugmentationConfig((1.0, 1.0), tilt=0.0))
    source = open_source(video, 3, (240, 180), CAMVID, calm, FlowConfig("medium"))
    assert isinstance(source, Windows)
    plain, knowing = (source.draw(0, np.random.default_rng(0), flow) for flow in (False, True))
    assert plain.flow is None
    np.testing.assert_array_equal(plain.frames, knowing.frames)
    speed = np.hypot(*knowing.flow[:, :, 40:-40, 40:-40].transpose(1, 0, 2, 3))
    assert knowing.flow.shape == (2, 2, 180, 240)
    assert np.median(speed) == pytest.approx(2.0, abs=0.2)


def test_a_flow_that_nobody_knows_leads_out_of_the_picture(film):
    far_apart = open_source(
        SourceConfig(film, stills=False, estimate_flow=False), 3, SIZE, CAMVID, AugmentationConfig()
    )
    known = open_source(SourceConfig(film), 3, SIZE, CAMVID, AugmentationConfig())
    _, _, flow = default_collate([ClipDataset([source], (1,), (0,), flow=True)[0] for source in (far_apart, known)])
    assert flow.shape == (2, 2, 2, SIZE[1], SIZE[0])
    assert [bool(inside(clip).any()) for clip in flow] == [False, True]


def backwards(clip):
    """The clip in reverse, with its flow then."""
    frames, labels, flow = (part[::-1].copy() for part in (clip.frames, clip.labels, clip.backward))
    return replace(clip, frames=frames, labels=labels, flow=flow)


@pytest.mark.parametrize("seed", range(3))
def test_flow_to_the_frame_before(seed):
    """Of stills, of things that pass, and of the street: what holds for the next frame holds in reverse."""
    occluder = Occluder(np.full((40, 60, 3), 255, np.uint8), np.ones((40, 60), bool), CAR)
    rng = np.random.default_rng(seed)
    still = still_to_clip(smooth_still(seed), 4, (160, 120), rng, RESTLESS, occluder, flow=True)
    street = street_clip(3, (240, 180), np.random.default_rng(seed), flow=True)
    for clip in (still, street):
        assert (clip.backward.shape, clip.backward.dtype) == (clip.flow.shape, np.float32)
        assert agreement(backwards(clip)) > standing(clip)
        assert agreement(backwards(clip)) > agreement(clip) - 0.02


@pytest.mark.parametrize("memory", MEMORY_FLOWS)
def test_flows_for_a_memory(film, memory):
    """Both ways for every source, exact where that is wanted and known; nothing else changes."""
    config, video = AugmentationConfig(), SourceConfig(film, stills=False)
    sources = [
        open_source(source, 3, SIZE, CAMVID, config, last=True)
        for source in (SourceConfig(film), video, SourceConfig("street"))
    ]
    for source in sources:
        plain, knowing = ClipDataset([source], (1,), (0,)), ClipDataset([source], (1,), (0,), memory=memory)
        frames, labels, *flows = knowing[0]
        assert all(torch.equal(a, b) for a, b in zip((frames, labels), plain[0], strict=True))
        pictures = frames.permute(0, 2, 3, 1).numpy()
        guesses = estimated_flow(pictures[:-1], pictures[1:]), estimated_flow(pictures[1:], pictures[:-1])
        known = [True, not isinstance(source, Windows)] if memory == "exact" else [False, False]  # of its own view
        for flow, guess, better in zip(flows, guesses, known, strict=True):
            assert (flow.shape, flow.dtype) == ((2, 2, SIZE[1], SIZE[0]), torch.float32)
            assert np.array_equal(flow.numpy(), guess) != better


@pytest.mark.parametrize("memory", MEMORY_FLOWS)
def test_frames_that_are_too_far_apart_give_a_memory_no_past(film, memory):
    video = SourceConfig(film, stills=False, estimate_flow=False)
    source = open_source(video, 3, SIZE, CAMVID, AugmentationConfig())
    for flow in (False, True):
        _, _, *flows = ClipDataset([source], (1,), (0,), flow=flow, memory=memory)[0]
        assert [tuple(known.shape) for known in flows] == 2 * [(2, 2, SIZE[1], SIZE[0])]
        assert not any(inside(known).any() for known in flows)


def test_windows_that_end_in_a_label(film):
    """Only the middle one of three frames is labelled."""
    frames = [
        replace(frame, label=frame.label if number == 1 else None)
        for number, frame in enumerate(camvid_frames(Path(film)))
    ]
    either, last = (
        Windows(frames, SourceConfig(film, stills=False), 2, SIZE, AugmentationConfig(), last=last)
        for last in (False, True)
    )
    assert (len(either.places), len(last.places)) == (2, 1)
    assert last.places[0][0][last.places[0][1] + 1].label is not None
    with pytest.raises(UserError, match="has no 4 consecutive frames of which the last is labelled; shorten"):
        open_source(SourceConfig(film, stills=False), 4, SIZE, CAMVID, AugmentationConfig(), last=True)

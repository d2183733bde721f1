"""Frames that nobody labelled, frames drawn around another one, and data sets with ids of another label set."""

import logging

import cv2
import numpy as np
import pytest
import torch

from test.conftest import SIZE
from test.io.test_videos import damage
from test.io.test_videos import write_video as write_film
from vidseg_ros.data.config import AugmentationConfig, SourceConfig
from vidseg_ros.data.datasets import open_dataset, open_video
from vidseg_ros.data.mixture import ClipDataset, Stills, class_frequency, open_source
from vidseg_ros.data.windows import Windows, around
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID, CITYSCAPES, IGNORE

CALM = AugmentationConfig((1.0, 1.0), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def write_video(path, frames=6, size=(96, 64)):
    """Grey levels that rise by 30 a frame."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, size)
    for number in range(frames):
        writer.write(np.full((size[1], size[0], 3), 30 * number, np.uint8))
    writer.release()
    return path


def write_images(folder, frames=6):
    folder.mkdir()
    for number in range(frames):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((64, 96, 3), 30 * number, np.uint8))
    return folder


@pytest.fixture(params=["file", "folder of files", "images"])
def video(request, tmp_path):
    if request.param == "images":
        return write_images(tmp_path / "images")
    path = write_video(tmp_path / "drive.mp4")
    return path if request.param == "file" else tmp_path


@pytest.mark.parametrize("stills", [True, False])
def test_video_without_labels_is_a_source(video, stills):
    source = open_source(SourceConfig(str(video), stills=stills, unlabelled=True), 3, SIZE, CAMVID, CALM)
    clips = ClipDataset([source], (1,), (0,), flow=True)
    frames, labels, flow = clips[0]
    assert (frames.shape, flow.shape) == ((3, 3, SIZE[1], SIZE[0]), (2, 2, SIZE[1], SIZE[0]))
    assert (labels == IGNORE).all()
    levels = frames.float().mean((1, 2, 3))
    assert levels.diff().tolist() == pytest.approx([0, 0] if stills else [30, 30], abs=12)
    assert class_frequency(clips, 11, labelled=False).tolist() == [0.0] * 11


def test_videos_of_a_folder_are_sequences_of_their_own(tmp_path):
    for name in ("b10.mp4", "b2.mp4", ".hidden.mp4"):
        write_video(tmp_path / name, frames=3)
    frames = open_video(str(tmp_path), CAMVID)
    assert [frame.image.name for frame in frames] == ["b2.mp4"] * 3 + ["b10.mp4"] * 3
    config = SourceConfig(str(tmp_path), stills=False, unlabelled=True)
    assert len(Windows(frames, config, 3, SIZE, CALM).places) == 2


def test_frames_that_hold_no_image_are_counted_in_one_line(tmp_path, caplog):
    """They were left out without a word."""
    film = damage(write_film(tmp_path / "film.avi", "mjpeg"), 6)
    images = write_images(tmp_path / "images")
    (images / "._0.png").touch()
    caplog.set_level(logging.WARNING, "vidseg_ros")
    for path, count in ((film, 39), (film, 39), (images, 6)):  # a file is read once for all phases
        assert len(open_video(str(path), CAMVID)) == count
    said = [record.getMessage() for record in caplog.records if record.name == "vidseg_ros.data.video"]
    assert len(said) == 2
    assert said[0].startswith(f"frames of '{film}': 1 that hold no image skipped (frame 6 of video '{film}' is damaged")
    assert said[1] == f"frames of '{images}': 1 that hold no image skipped ('{images}/._0.png' is hidden, and no frame)"


def test_video_that_is_none_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    write_video(tmp_path / "long.mp4")
    monkeypatch.setattr("vidseg_ros.data.video.MOST_FRAMES", 3)
    for name, problem in (
        ("broken.mp4", "holds no video"),
        ("long.mp4", "more than 3 frames"),
        ("no", "does not exist"),
    ):
        with pytest.raises(UserError, match=problem):
            open_video(str(tmp_path / name), CAMVID)
    with pytest.raises(UserError, match="is a file; name a folder, or set unlabelled: true"):
        open_dataset(str(tmp_path / "long.mp4"), CAMVID)


@pytest.fixture
def city(tmp_path):
    """Two stills in the layout of CamVid with the ids of Cityscapes: 0 to 18 and void."""
    ids = (np.arange(64 * 96).reshape(64, 96) % 20).astype(np.uint8)
    for kind in ("frames", "labels"):
        (tmp_path / kind).mkdir()
        for number in range(2):
            cv2.imwrite(str(tmp_path / kind / f"jena_00000{number}_000019.png"), ids)
    return str(tmp_path), ids


def test_ids_of_cityscapes_in_the_classes_of_camvid(city):
    folder, ids = city
    stored = open_dataset(folder, CAMVID, CITYSCAPES)
    labels = stored[0].read().labels[0]
    names = {value: CAMVID.names[labels[ids == value][0]] for value in range(19)}
    assert (names[1], names[6], names[9], names[12], names[16]) == ("pavement", "sign", "tree", "bicyclist", "car")
    assert (labels[ids == 19] == IGNORE).all()
    labels = open_dataset(folder, CITYSCAPES, CITYSCAPES)[0].read().labels[0]
    np.testing.assert_array_equal(labels, np.where(ids == 19, IGNORE, ids))
    source = open_source(SourceConfig(folder, labels="cityscapes"), 2, SIZE, CAMVID, CALM)
    assert isinstance(source, Stills)
    assert source.draw(0, np.random.default_rng(0)).labels.max() <= IGNORE
    with pytest.raises(UserError, match="holds id 12"):
        open_dataset(folder, CAMVID)[0].read()


def test_camvid_in_the_classes_of_cityscapes(tmp_path):
    """Its mean classes become the most frequent of their counterparts."""
    for kind in ("frames", "labels"):
        (tmp_path / kind).mkdir()
        cv2.imwrite(str(tmp_path / kind / "s_00001.png"), np.arange(12, dtype=np.uint8)[None].repeat(4, 0))
    labels = open_dataset(str(tmp_path), CITYSCAPES)[0].read().labels[0, 0]
    names = [CITYSCAPES.names[value] for value in labels[:-1]]
    assert names == [
        "sky", "building", "pole", "road", "sidewalk", "vegetation", "traffic sign", "fence", "car", "person", "rider",
    ]  # fmt: skip
    assert labels[-1] == IGNORE


@pytest.mark.parametrize(("middle", "length", "reach"), [(5, 2, 3), (5, 3, 3), (0, 3, 3), (9, 4, 3), (4, 7, 3)])
def test_frames_around_another(middle, length, reach):
    drawn = [around(middle, length, reach, 10, np.random.default_rng(seed)) for seed in range(60)]
    for frames in drawn:
        assert len(set(frames)) == length
        assert list(frames) == sorted(frames)
        assert middle in frames
        assert all(0 <= frame < 10 and abs(frame - middle) <= reach for frame in frames)
    seen = {frame for frames in drawn for frame in frames}
    assert seen == set(range(max(middle - reach, 0), min(middle + reach, 9) + 1))
    if 3 <= middle <= 6:
        assert {frames.index(middle) for frames in drawn} <= {(length - 1) // 2, length // 2}, "as many on both sides"


def test_clips_around_the_labelled_frame(tmp_path):
    """Ten frames of Cityscapes, the middle one labelled."""
    folder, truth = tmp_path / "leftImg8bit_sequence/train/ulm", tmp_path / "gtFine/train/ulm"
    for path in (folder, truth):
        path.mkdir(parents=True)
    for number in range(10):
        image = np.full((64, 96, 3), 20 * number, np.uint8)
        cv2.imwrite(str(folder / f"ulm_000001_{number:06}_leftImg8bit.png"), image)
    cv2.imwrite(str(truth / "ulm_000001_000005_gtFine_labelIds.png"), np.full((64, 96), 7, np.uint8))
    config = SourceConfig(str(folder.parent), stills=False, frame_range=3)
    source = open_source(config, 3, SIZE, CITYSCAPES, CALM)
    seen = set()
    for seed in range(40):
        clip = source.draw(0, np.random.default_rng(seed))
        numbers = [round(stamp * 17e-9) for stamp in clip.stamps]
        assert numbers[1] == 5 and 2 <= numbers[0] < 5 < numbers[2] <= 8
        assert [(plane == IGNORE).all() for plane in clip.labels] == [True, False, True]
        seen.add(tuple(numbers))
    assert len(seen) == 9
    last = open_source(config, 3, SIZE, CITYSCAPES, CALM, last=True)
    for seed in range(10):
        clip = last.draw(0, np.random.default_rng(seed))
        assert [(plane == IGNORE).all() for plane in clip.labels] == [True, True, False]
    with pytest.raises(UserError, match="has no 5 frames within 3 of one of which the last is labelled"):
        open_source(config, 5, SIZE, CITYSCAPES, CALM, last=True)
    with pytest.raises(UserError, match="has no 8 frames within 3 of one"):
        open_source(config, 8, SIZE, CITYSCAPES, CALM)


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        ({"frame_range": -1}, "data.frame_range is -1"),
        ({"labels": "kitti"}, "label set 'kitti' does not exist"),
        ({"fps": 0.0}, "data.fps is 0.0"),
    ],
)
def test_bad_sources(field, problem):
    with pytest.raises(UserError, match=problem):
        SourceConfig("toy", **field)


def test_a_batch_of_mixed_sources_has_one_shape(tmp_path, city):
    video = write_images(tmp_path / "images")
    sources = [
        open_source(SourceConfig(city[0], labels="cityscapes"), 2, SIZE, CAMVID, CALM),
        open_source(SourceConfig(str(video), stills=False, unlabelled=True), 2, SIZE, CAMVID, CALM),
        open_source(SourceConfig("street"), 2, SIZE, CAMVID, CALM),
    ]
    clips = ClipDataset(sources, (1, 1, 1), (0,), flow=True)
    batch = torch.utils.data.default_collate([clips[number] for number in range(8)])
    assert [part.shape[:2] for part in batch] == [(8, 2), (8, 2), (8, 1)]

"""The layouts that training and evaluation read."""

import json

import cv2
import numpy as np
import pytest

from vidseg_ros.data.cityscapes import EVALUATED, cityscapes_frames
from vidseg_ros.data.datasets import open_dataset
from vidseg_ros.data.stored import read_clip, sequences
from vidseg_ros.errors import UserError
from vidseg_ros.io.frame import nanoseconds
from vidseg_ros.labels import CAMVID, CITYSCAPES, IGNORE, LabelSet, find_label_set, translation

IMAGE = np.full((4, 6, 3), 90, np.uint8)
CAR, PERSON, ROAD = 26, 24, 7  # label ids of Cityscapes


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


@pytest.fixture
def cityscapes(tmp_path):
    """Two snippets: frames 18 to 20 of one, the last labelled truly and the second by a teacher; one of another."""
    stems = ["bonn_000001_000018", "bonn_000001_000019", "bonn_000001_000020", "ulm_000000_000020"]
    for stem in stems:
        city = stem.split("_")[0]
        write(tmp_path / f"leftImg8bit_sequence/train/{city}/{stem}_leftImg8bit.png", IMAGE)
    values = np.full((4, 6), ROAD, np.uint8)
    values[0] = [0, 1, PERSON, CAR, 33, IGNORE]
    write(tmp_path / "gtFine/train/bonn/bonn_000001_000020_gtFine_labelIds.png", values)
    for number in (19, 20):  # train ids; the second gives way to the true ones
        labels = np.full((4, 6), CITYSCAPES.id_of("rider"), np.uint8)
        write(tmp_path / f"pseudo/train/bonn/bonn_000001_0000{number}_labelTrainIds.png", labels)
    return tmp_path / "leftImg8bit_sequence/train"


def test_cityscapes_sequences(cityscapes):
    frames = cityscapes_frames(cityscapes)
    runs = list(sequences(frames))
    assert [[round(17e-9 * frame.stamp) for frame in run] for run in runs] == [[18, 19, 20], [20]]
    clip = read_clip(runs[0])
    assert clip.frames.shape == (3, 4, 6, 3)
    assert (clip.labels[0] == IGNORE).all(), "nobody labelled it"
    assert (clip.labels[1] == CITYSCAPES.id_of("rider")).all(), "a teacher did"
    void = IGNORE
    assert clip.labels[2, 0].tolist() == [void, void, 11, 13, 18, void], "train ids of the true labels"
    assert (clip.labels[2, 1:] == 0).all()


def test_cityscapes_label_ids_are_those_of_the_train_ids():
    """Ids and names as in the scripts of the data set."""
    official = {
        "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17, "traffic light": 19,
        "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23, "person": 24, "rider": 25, "car": 26,
        "truck": 27, "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33,
    }  # fmt: skip
    assert dict(zip(CITYSCAPES.names, EVALUATED, strict=True)) == official


def test_cityscapes_in_camvid_labels(cityscapes):
    labels = read_clip(open_dataset(str(cityscapes), CAMVID)[1:3]).labels
    assert (labels[0] == CAMVID.id_of("bicyclist")).all()
    names = [CAMVID.names[i] for i in labels[1, 0, 2:5]]
    assert names == ["pedestrian", "car", "bicyclist"]
    assert labels[1, 0, [0, 1, 5]].tolist() == 3 * [IGNORE]


@pytest.mark.parametrize("value", [34, 100, 254])
def test_cityscapes_ids_outside_the_set(cityscapes, value):
    path = cityscapes.parents[1] / "gtFine/train/bonn/bonn_000001_000020_gtFine_labelIds.png"
    write(path, np.full((4, 6), value, np.uint8))
    with pytest.raises(UserError, match=f"{path.name}' holds id {value}; its label set has 0, 1, .*, 33, 255"):
        cityscapes_frames(cityscapes)[2].read()


def test_cityscapes_without_frames(tmp_path):
    (tmp_path / "leftImg8bit/val").mkdir(parents=True)
    with pytest.raises(UserError, match="name a split of Cityscapes"):
        open_dataset(str(tmp_path / "leftImg8bit/val"), CITYSCAPES)
    write(tmp_path / "leftImg8bit/val/bonn/odd_leftImg8bit.png", IMAGE)
    with pytest.raises(UserError, match="is not named CITY_SEQUENCE_FRAME"):
        open_dataset(str(tmp_path / "leftImg8bit/val"), CITYSCAPES)


@pytest.fixture
def recording(tmp_path):
    scene = tmp_path / "Town01_0003"
    for number in (7, 8):
        write(scene / f"rgb/{number:06}.jpg", IMAGE)
        write(scene / f"labels/{number:06}.png", np.full((4, 6), CITYSCAPES.id_of("truck"), np.uint8))
    (scene / "scene.json").write_text(json.dumps({"fps": 17.0, "labels": "cityscapes"}))
    return tmp_path


def test_recordings(recording):
    frames = open_dataset(str(recording), CAMVID)
    assert [frame.stamp for frame in frames] == [nanoseconds(7 / 17), nanoseconds(8 / 17)]
    clip = read_clip(frames)
    assert (clip.sequence, clip.labels.shape) == ("Town01_0003", (2, 4, 6))
    assert (clip.labels == CAMVID.id_of("car")).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"fps": 0}', "fps is 0"),
        ('{"rate": 3}', "unknown key 'rate'"),
        ('{"fps": 17, "labels": "kitti"}', "label set 'kitti' does not exist; use one of camvid, cityscapes"),
        ("[", "not valid YAML"),
    ],
)
def test_recordings_with_a_bad_description(recording, text, message):
    (recording / "Town01_0003/scene.json").write_text(text)
    with pytest.raises(UserError, match=message):
        open_dataset(str(recording), CAMVID)


def test_recordings_with_a_bad_name(recording):
    write(recording / "Town01_0003/rgb/front.png", IMAGE)
    with pytest.raises(UserError, match=r"front\.png' is not named by its number"):
        open_dataset(str(recording), CAMVID)


@pytest.mark.parametrize("source", [CAMVID, CITYSCAPES])
@pytest.mark.parametrize("target", [CAMVID, CITYSCAPES])
def test_every_class_has_a_counterpart(source, target):
    table = translation(source, target)
    assert (table[: len(source)] < len(target)).all()
    assert (table[len(source) :] == np.arange(len(source), 256)).all()
    if source is target:
        assert (table == np.arange(256)).all()


def test_unknown_label_sets_have_no_counterpart():
    with pytest.raises(UserError, match="class 'moss' of 'garden' labels has no counterpart in 'camvid'"):
        translation(LabelSet("garden", ("sky", "moss"), ((0, 0, 0), (1, 1, 1))), CAMVID)
    with pytest.raises(UserError, match="label set 'garden' does not exist"):
        find_label_set("garden")

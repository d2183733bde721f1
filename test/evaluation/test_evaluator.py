import json

import cv2
import numpy as np
import pytest

from test.conftest import CPU, tiny_network
from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.checkpoints.importing import import_weights
from vidseg_ros.cli.main import main
from vidseg_ros.data.camvid import camvid_frames
from vidseg_ros.data.stored import sequences
from vidseg_ros.engines import Prediction, TorchEngine
from vidseg_ros.evaluation.evaluator import evaluate
from vidseg_ros.evaluation.scores import Scores
from vidseg_ros.labels import CAMVID, IGNORE
from vidseg_ros.stream import StreamConfig


class Painter:
    """Predicts the red channel; remembers how old each state is."""

    labels, input_size, flow = CAMVID, (12, 8), None

    def __init__(self):
        self.ages = []

    def step(self, frames, states, confidence=False, flow=None):
        self.ages += [state or 0 for state in states]
        return Prediction(frames[..., 0].copy()), [(state or 0) + 1 for state in states]


def write(folder, name, predicted, label):
    """Write a frame that the Painter predicts as ``predicted``, and its label image."""
    for kind in ("frames", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    image = np.zeros((8, 12, 3), np.uint8)
    image[..., 2] = predicted  # OpenCV writes BGR
    cv2.imwrite(str(folder / "frames" / f"{name}.png"), image)
    cv2.imwrite(str(folder / "labels" / f"{name}.png"), np.full((8, 12), label, np.uint8))


def test_report_by_hand(tmp_path):
    """Scene a: right, right, wrong; scene b: wrong, wrong in the same way. No pair joins the two scenes."""
    for number, (scene, predicted, label) in enumerate(
        [("a", 3, 3), ("a", 3, 3), ("a", 4, 3), ("b", 4, 3), ("b", 4, 3)]
    ):
        write(tmp_path, f"{scene}_{number:05}", predicted, label)
    engine = Painter()
    report = evaluate(engine, sequences(camvid_frames(tmp_path)))
    assert engine.ages == [0, 1, 2, 0, 1]
    assert (report["frames"], report["acc"], report["per_class"]["road"]) == (5, 40.0, 40.0)
    assert report["per_class"]["pavement"] == 0.0  # predicted, never true
    assert report["per_class"]["car"] is None
    assert report["miou"] == 20.0
    assert (report["cons"], report["consw"]) == (66.67, 33.33)


def test_labels_that_come_and_go_by_hand(tmp_path):
    """A picture at rest whose prediction changes once: scene a. Scene b is not compared with it, nor its other size."""
    for name, predicted in (("a_00000", 3), ("a_00001", 3), ("a_00002", 4), ("b_00003", 5), ("b_00004", 5)):
        write(tmp_path, name, predicted, IGNORE)
    large = cv2.resize(cv2.imread(str(tmp_path / "frames/b_00004.png")), (16, 16))
    cv2.imwrite(str(tmp_path / "frames/b_00004.png"), large)
    cv2.imwrite(str(tmp_path / "labels/b_00004.png"), np.full((16, 16), IGNORE, np.uint8))
    report = evaluate(Painter(), sequences(camvid_frames(tmp_path)), StreamConfig(size=(16, 16)), temporal=True)
    assert (report["flicker"], report["trajectory"], report["miou"]) == (50.0, 0.0, None)
    assert report["trajectory_bounded"] == 0.0
    assert report["flicker_per_class"] == {name: 50.0 if name == "road" else None for name in CAMVID.names}
    # road: seen in two pairs, kept in one; pavement: once, wrongly
    assert (report["tc"], report["tc_visible"]) == (round(50 / len(CAMVID), 2), 25.0)
    assert "dense inverse search, medium" in report["about"]["tc"] and "cut" in report["about"]["tc"]
    assert report["about"].keys() == {"tc", "tc_visible"}
    plain = evaluate(Painter(), sequences(camvid_frames(tmp_path)))
    assert not {"tc", "about"} & plain.keys()


def test_imported_weights_reach_the_figures_of_the_original_code(camvid_val, official_weights):
    checkpoint = import_weights(official_weights / "official_decoder_espnet_p_2_q_8_camvid.pth")
    report = evaluate(TorchEngine(checkpoint, CPU), sequences(camvid_frames(camvid_val)))
    expected = {"miou": 69.35, "acc": 93.30, "cons": 97.65, "consw": 3.34}
    assert {name: report[name] for name in expected} == pytest.approx(expected, abs=0.05)
    assert report["frames"] == 101


def test_running_figures_by_hand():
    score = Scores(CAMVID, windows=())
    assert {score.report()[name] for name in ("miou", "acc", "cons", "consw")} == {None}
    truth = np.asarray([[0, 0, 1, IGNORE]], np.uint8)
    score.add(np.asarray([[0, 1, 1, 5]], np.uint8), truth)
    # class 0: 1 of 2, class 1: 1 of 2; two of three pixels right
    report = score.report()
    assert (report["miou"], report["acc"], report["cons"], report["consw"]) == (50.0, 66.67, None, None)
    score.add(np.asarray([[0, 1, 0, 5]], np.uint8), truth)
    # of three stable pixels two keep their label, one of these wrong
    assert (score.report()["cons"], score.report()["consw"]) == (66.67, 33.33)
    assert score.frames == 2


def test_pairs_are_not_made_across_an_interruption_or_a_change_of_size():
    score = Scores(CAMVID, windows=())
    for size in (2, 2, 3):
        image = np.zeros((size, size), np.uint8)
        score.add(image, image)
        if size == 2:
            score.begin()
    assert score.report()["cons"] is None


def test_every_second_frame(tmp_path, capsys):
    """By the verb: of each sequence the first, third, ... frame."""
    checkpoint, figures = tmp_path / "tiny.safetensors", tmp_path / "figures.json"
    Checkpoint(tiny_network(None), CAMVID).save(checkpoint)
    for name in ("a_00000", "a_00002", "a_00004", "b_00006", "b_00008"):
        write(tmp_path, name, 3, 3)
    for stride, count in (("1", 5), ("2", 3), ("9", 2)):
        command = ["evaluate", str(checkpoint), str(tmp_path), "--stride", stride, "--json", str(figures)]
        assert main([*command, "--engine", "torch", "--no-temporal"]) == 0
        report = json.loads(figures.read_text())
        assert (report["frames"], report["stride"]) == (count, int(stride))
    assert main([*command[:-4], "--stride", "0"]) == 2
    assert "--stride is 0; it must be above 0" in capsys.readouterr().err

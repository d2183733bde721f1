"""Intervals, blocks, ground truth and pictures, each against something simpler."""

import cv2
import numpy as np
import pytest
import torch

from test.io.making import write_bag
from test.replay.conftest import messages, stamps
from vidseg_ros.errors import UserError
from vidseg_ros.evaluation import bootstrap as compare_module
from vidseg_ros.evaluation.bootstrap import compare, verdict
from vidseg_ros.evaluation.counts import (
    MAX_BLOCKS,
    Blocks,
    figures,
    from_json,
    report_of,
    take,
    to_json,
    total,
)
from vidseg_ros.evaluation.scores import VideoScores
from vidseg_ros.evaluation.worst_frames import APART, KEPT, SegmentedFrame, WorstFrames, inconsistency
from vidseg_ros.flow.motion import Motion, visible
from vidseg_ros.io.label_images import LabelImage
from vidseg_ros.io.recordings import camera_name, open_recordings
from vidseg_ros.labels import CAMVID, CITYSCAPES, IGNORE
from vidseg_ros.replay.charts import bar_chart, line_chart
from vidseg_ros.replay.ground_truth import LabelFolder, Reading, open_truth

STILL = Motion(torch.zeros(2, 4, 6), torch.ones(4, 6, dtype=torch.bool))


def predictions(seed, frames=40, errors=0.2):
    """Return true and predicted ids, (T, 4, 6) each; a share of the predictions is wrong at random."""
    random = np.random.default_rng(seed)
    truth = np.tile(random.integers(0, 3, (1, 4, 6)), (frames, 1, 1)).astype(np.uint8)
    wrong = random.random(truth.shape) < errors
    return truth, np.where(wrong, 3, truth).astype(np.uint8)


def feed(scores, truth, predicted):
    """Show a camera at rest; yields after each frame."""
    before = None
    for labels, true in zip(predicted, truth, strict=True):
        scores.add(labels, true)
        scores.follow(before, torch.from_numpy(labels), STILL if before is not None else None)
        before = torch.from_numpy(labels)
        yield


def blocks(truth, predicted):
    scores = VideoScores(CAMVID)
    found = [take(scores) for _ in feed(scores, truth, predicted)]
    scores.end()
    return [*found[:-1], total([found[-1], take(scores)])]


def test_blocks_add_up_to_the_whole():
    """Counts taken frame by frame, joined and stored, give the figures of accumulators that saw all."""
    truth, predicted = predictions(0, frames=MAX_BLOCKS + 45)
    kept, parts = Blocks(), blocks(truth, predicted)
    for number, counts in enumerate(parts):
        kept.add(number / 15, counts)
    assert (kept.length, len(kept.counts)) == (2, -(-(MAX_BLOCKS + 45) // 2))
    assert kept.starts == [2 * i / 15 for i in range(len(kept.counts))]
    whole = VideoScores(CAMVID)
    list(feed(whole, truth, predicted))
    expected = whole.report()
    stored = [from_json(to_json(counts), CAMVID) for counts in kept.counts]
    found = report_of(total(stored), CAMVID)
    assert {name: found[name] for name in expected} == expected
    changed = np.mean(predicted[1:] != predicted[:-1])
    assert found["flicker"] == pytest.approx(100 * changed, abs=0.006)


def test_intervals_against_a_plain_bootstrap():
    """Accuracy of a mean of pieces of equal size: draw the pieces by hand."""
    truth, predicted = predictions(1, frames=60)
    comparison = compare([[blocks(truth, predicted)]], CAMVID)
    assert (comparison.units, comparison.cut) == (12, True)
    pieces = (predicted == truth).reshape(12, -1).mean(1)
    random = np.random.default_rng(7)
    means = [100 * random.choice(pieces, 12).mean() for _ in range(4000)]
    found = comparison.checkpoints[0]["acc"]
    assert found.value == pytest.approx(100 * pieces.mean(), abs=1e-3)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.6)


def test_a_real_difference_is_found_and_chance_is_not(monkeypatch):
    monkeypatch.setattr(compare_module, "RESAMPLES", 200)
    truth, good = predictions(2, errors=0.1)
    _, bad = predictions(2, errors=0.4)
    comparison = compare([[blocks(truth, bad)], [blocks(truth, good)]], CAMVID)
    assert comparison.difference["acc"].low > 20 and comparison.difference["flicker"].high < -10
    text = verdict(comparison, "old", "new")
    assert text.startswith("The difference is real: new is better in mIoU, Acc") and "Raw flicker rate" in text
    same = compare([[blocks(truth, good)], [blocks(truth, good)]], CAMVID)
    assert same.difference["acc"].value == 0.0 and not same.difference["acc"].excludes_zero
    assert verdict(same, "old", "new").startswith("No difference is certain")


def test_recordings_are_the_units_where_there_are_enough(monkeypatch):
    monkeypatch.setattr(compare_module, "RESAMPLES", 50)
    recordings = [blocks(*predictions(seed, frames=4)) for seed in range(6)]
    comparison = compare([recordings], CAMVID)
    assert (comparison.units, comparison.cut) == (6, False)
    assert comparison == compare([recordings], CAMVID), "the seed is fixed"


def test_a_few_frames_prove_nothing(monkeypatch):
    """One piece is drawn again and again: without a bound, any difference would be certain."""
    monkeypatch.setattr(compare_module, "RESAMPLES", 20)
    truth, good = predictions(2, frames=4, errors=0.1)
    _, bad = predictions(2, frames=4, errors=0.4)
    comparison = compare([[blocks(truth, bad)[:1]], [blocks(truth, good)[:1]]], CAMVID)
    assert comparison.difference["acc"].value > 0 and comparison.difference["acc"].low is None
    assert verdict(comparison, "old", "new").endswith("(Too few frames to tell: 1.)")


def test_what_was_not_measured_has_no_interval(monkeypatch):
    monkeypatch.setattr(compare_module, "RESAMPLES", 20)
    scores = VideoScores(CAMVID)
    scores.follow(None, torch.zeros(4, 6, dtype=torch.uint8), None)
    comparison = compare([[[take(scores)]]], CAMVID)
    assert all(interval.value is None for interval in comparison.checkpoints[0].values())
    assert figures(take(scores), VideoScores(CAMVID))["tc"].isnan()


def shot_of(drive, tmp_path):
    (recording,) = open_recordings(write_bag(tmp_path / "b", {"/image": messages([f.rgb for f in drive])}), [], 15.0)
    return recording, list(recording.frames())


@pytest.mark.parametrize("encoding", ["mono8", "rgb8", "bgr8"])
def test_label_topics_hold_ids_or_colours(encoding, drive, tmp_path):
    """Labels come late and are recorded in another order; every second one is missing."""
    pixels = [f.labels if encoding == "mono8" else CAMVID.colorize(f.labels) for f in drive]
    pixels = [plane[..., ::-1] if encoding == "bgr8" else plane for plane in pixels]
    labels = messages(pixels, encoding, 300)[::2]
    images = {"/image": messages([f.rgb for f in drive])}
    path = write_bag(tmp_path / "bag", images | {"/truth": [(recorded + 10**8, m) for recorded, m in labels]})
    (recording,) = open_recordings(path, ["/image"], 15.0)
    truth = open_truth("/truth", recording, Reading(CAMVID, CAMVID))
    for index, (shot, frame) in enumerate(zip(recording.frames(), drive, strict=True)):
        found = truth.of(shot)
        if index % 2:
            assert found is None
        else:
            np.testing.assert_array_equal(found, frame.labels)


def test_labels_of_another_set_are_translated(drive, tmp_path):
    _, shots = shot_of(drive, tmp_path)
    ids = np.full((64, 96), CITYSCAPES.id_of("truck"), np.uint8)
    ids[0] = IGNORE
    found = Reading(CITYSCAPES, CAMVID).decode(LabelImage(ids=ids), shots[0], "here")
    assert (found[1:] == CAMVID.id_of("car")).all() and (found[0] == IGNORE).all()
    colors = CITYSCAPES.colorize(ids)
    np.testing.assert_array_equal(
        Reading(CITYSCAPES, CAMVID).decode(LabelImage(colors=colors), shots[0], "here"), found
    )
    colors[5, 5] = (1, 2, 3)
    with pytest.raises(UserError, match=r"\[1 2 3\].*label set 'cityscapes'"):
        Reading(CITYSCAPES, CAMVID).decode(LabelImage(colors=colors), shots[0], "here")


def test_label_folders_are_matched_by_stamp(drive, tmp_path):
    _, shots = shot_of(drive, tmp_path)
    (tmp_path / "ids").mkdir()
    cv2.imwrite(str(tmp_path / f"ids/{stamps()[3]}.png"), drive[3].labels)
    folder = LabelFolder(tmp_path / "ids", Reading(CAMVID, CAMVID))
    assert folder.of(shots[2]) is None
    np.testing.assert_array_equal(folder.of(shots[3]), drive[3].labels)


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("/image_raw", "image_raw"),
        ("/front/image_raw", "front"),
        ("/car/left/image/compressed", "car_left"),
        ("/", "camera"),
    ],
)
def test_names_of_cameras(topic, name):
    assert camera_name(topic) == name


def segmented(labels, truth=None):
    labels = np.asarray(labels, np.uint8)
    truth = None if truth is None else np.asarray(truth, np.uint8)
    return SegmentedFrame(labels, np.zeros((*labels.shape, 3), np.uint8), truth)


def test_inconsistency_is_figure_three_of_the_paper():
    """With truth: a change is free where the truth changes or is unknown. Without: where the flow cannot see."""
    before, now = segmented([[0, 0, 0, 0]], [[0, 0, 0, 0]]), segmented([[0, 1, 1, 1]], [[0, 0, 1, IGNORE]])
    still = Motion(torch.zeros(2, 1, 4), torch.tensor([[True, True, False, True]]))
    changed, free = inconsistency(before, now, still)
    assert (changed.tolist(), free.tolist()) == ([[False, True, True, True]], [[False, False, True, True]])
    changed, free = inconsistency(segmented([[0, 0, 0, 0]]), segmented([[0, 1, 1, 1]]), still)
    assert (changed.tolist(), free.tolist()) == ([[False, True, True, True]], [[False, False, True, False]])


def test_labels_that_move_with_the_picture_are_consistent():
    before, now = segmented([[0, 1, 2, 3]]), segmented([[9, 0, 1, 2]])
    flow = torch.tensor([1.0, 0.0]).view(2, 1, 1).expand(2, 1, 4)
    changed, free = inconsistency(before, now, Motion(flow, visible(flow, -flow)))
    assert not (changed & ~free).any()


def test_the_worst_moments_are_kept_and_lie_apart():
    random = np.random.default_rng(0)
    shares = random.permutation(200) / 200
    worst = WorstFrames()
    still = Motion(torch.zeros(2, 1, 200), torch.ones(1, 200, dtype=torch.bool))
    for frame, share in enumerate(shares):
        now = (np.arange(200) < round(200 * share)).astype(np.uint8)[None]
        worst.consider(frame, frame / 15, segmented(np.zeros((1, 200))), segmented(now), still)
    assert len(worst.worst) == KEPT
    assert worst.worst[0].frame == np.argmax(shares)
    frames = sorted(kept.frame for kept in worst.worst)
    assert min(np.diff(frames)) >= APART
    assert all(kept.share == pytest.approx(shares[kept.frame]) for kept in worst.worst)


def test_charts_show_every_value():
    chart = line_chart([0.0, 1.0, 2.0, 3.0], {"a": [1.0, None, 2.0, 3.0], "<b>": [1.0, 1.0, 1.0, 1.0]}, "percent")
    assert chart.count("<polyline") == 3 and "&lt;b&gt;" in chart and "<b>" not in chart
    assert "Too short" in line_chart([0.0], {"a": [1.0]}, "percent")
    bars = bar_chart({"a": {"sky": 50.0, "car": None}})
    assert bars.count("<rect") == 2 and "50.0" in bars and "not there" in bars

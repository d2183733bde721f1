import numpy as np
import pytest
import torch

from vidseg_ros.labels import IGNORE
from vidseg_ros.metrics import (
    Consistency,
    SegmentationScore,
    VideoConsistency,
    confusion_matrix,
    consistency,
    video_consistency,
)

CLASSES = 4
SEEDS = range(5)


def random_sequence(seed, frames=6):
    """Return predictions and labels uint8 (T, H, W): some pixels stay wrong, some change, some are void or wild."""
    random = np.random.default_rng(seed)
    shape = (frames, 5, 7)
    labels = np.where(random.random(shape) < 0.2, random.integers(0, 3, shape), random.integers(0, 3, shape[1:]))
    predictions = np.where(random.random(shape[1:]) < 0.3, CLASSES - 1, labels)
    predictions = np.where(random.random(shape) < 0.2, random.integers(0, CLASSES, shape), predictions)
    labels[random.random(shape) < 0.15] = IGNORE
    predictions[random.random(shape) < 0.05] = IGNORE
    return predictions.astype(np.uint8), labels.astype(np.uint8)


def score(*updates, classes=CLASSES):
    metric = SegmentationScore(classes)
    for predictions, labels in updates:
        metric.update(torch.as_tensor(predictions), torch.as_tensor(labels))
    return {name: value.numpy() for name, value in metric.compute().items()}


def steadiness(*updates):
    metric = Consistency()
    for predictions, labels in updates:
        metric.update(torch.as_tensor(predictions), torch.as_tensor(labels))
    return {name: value.item() for name, value in metric.compute().items()}


def test_score_by_hand():
    """Class 2 is nowhere; the fifth pixel is void, its prediction does not count against class 0."""
    labels = [0, 0, 1, 1, IGNORE, 1]
    predictions = [0, 1, 1, IGNORE, 0, 1]
    result = score((predictions, labels), classes=3)
    assert result["acc"] == pytest.approx(100 * 3 / 5)
    np.testing.assert_allclose(result["iou"], [100 * 1 / 2, 100 * 2 / 4, np.nan])
    assert result["miou"] == pytest.approx(50)


def test_a_class_that_is_only_predicted_scores_zero():
    assert score(([0, 2], [0, 0]), classes=3)["miou"] == pytest.approx((50 + 0) / 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_score_against_sets_of_pixels(seed):
    predictions, labels = random_sequence(seed)
    known = labels != IGNORE
    iou = []
    for k in range(CLASSES):
        both, either = np.sum((predictions == k) & (labels == k)), np.sum(((predictions == k) | (labels == k)) & known)
        iou.append(100 * both / either if either else np.nan)
    result = score((predictions, labels))
    np.testing.assert_allclose(result["iou"], iou)
    assert result["miou"] == pytest.approx(np.nanmean(iou))
    assert result["acc"] == pytest.approx(100 * np.mean(predictions[known] == labels[known]))


def test_confusion_matrix_counts_each_pair():
    predictions, labels = random_sequence(0)
    expected = np.zeros((CLASSES, CLASSES + 1), int)
    for p, k in zip(predictions.flat, labels.flat, strict=True):
        if k != IGNORE:
            expected[k, min(p, CLASSES)] += 1
    assert expected[:, -1].any()
    matrix = confusion_matrix(torch.from_numpy(predictions), torch.from_numpy(labels), CLASSES)
    assert matrix.dtype == torch.int64
    np.testing.assert_array_equal(matrix.numpy(), expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_score_in_parts_equals_score_at_once(seed):
    """One matrix over the data set, not a mean of frames."""
    predictions, labels = random_sequence(seed)
    parts = score(*zip(predictions, labels, strict=True))
    whole = score((predictions, labels))
    np.testing.assert_array_equal(parts["iou"], whole["iou"])
    assert (parts["miou"], parts["acc"]) == (whole["miou"], whole["acc"])


def test_consistency_by_hand():
    """Pair one: two stable pixels, one equal and right. Pair two: one stable pixel, equal and wrong."""
    labels = [[[0, 0, 1, IGNORE, 1]], [[0, 0, 2, IGNORE, IGNORE]], [[IGNORE, 0, 1, 0, 1]]]
    predictions = [[[0, 1, 1, 0, 1]], [[0, 2, 1, 0, 1]], [[0, 2, 1, 0, 1]]]
    cons, consw = consistency(torch.tensor(predictions), torch.tensor(labels))
    assert (cons.tolist(), consw.tolist()) == ([0.5, 1.0], [0.0, 1.0])
    assert steadiness((predictions, labels)) == {"cons": 75.0, "consw": 50.0}, "a mean of pairs, not of pixels"


def test_pairs_without_a_stable_pixel_do_not_count():
    labels, predictions = [[[0]], [[0]], [[1]], [[IGNORE]]], [[[0]], [[0]], [[0]], [[1]]]
    cons, consw = consistency(torch.tensor(predictions), torch.tensor(labels))
    assert cons.isnan().tolist() == consw.isnan().tolist() == [False, True, True]
    assert steadiness((predictions, labels)) == {"cons": 100.0, "consw": 0.0}
    assert np.isnan(steadiness((predictions[2:], labels[2:]))["cons"])


@pytest.mark.parametrize("seed", SEEDS)
def test_consistency_against_loops(seed):
    predictions, labels = random_sequence(seed)
    cons, consw = [], []
    for t in range(1, len(labels)):
        stable = equal = wrong = 0
        for now, before, truth, truth_before in zip(
            predictions[t].flat, predictions[t - 1].flat, labels[t].flat, labels[t - 1].flat, strict=True
        ):
            if truth == truth_before and truth != IGNORE:
                stable += 1
                equal += now == before
                wrong += now == before and now != truth
        cons.append(equal / stable)
        consw.append(wrong / stable)
    assert min(consw) < max(consw) < min(cons) < max(cons) < 1
    expected = {"cons": 100 * np.mean(cons), "consw": 100 * np.mean(consw)}
    assert steadiness((predictions, labels)) == pytest.approx(expected)


def test_consistency_of_pairs_equals_consistency_of_the_clip():
    predictions, labels = random_sequence(3)
    pairs = [(predictions[t : t + 2], labels[t : t + 2]) for t in range(len(labels) - 1)]
    assert steadiness(*pairs) == pytest.approx(steadiness((predictions, labels)))


def test_perfect_predictions():
    _, labels = random_sequence(1)
    result = score((labels, labels))
    assert (result["miou"], result["acc"]) == (100, 100)
    assert steadiness((labels, labels)) == {"cons": 100.0, "consw": 0.0}


@pytest.mark.parametrize("wrong", [3, IGNORE])
def test_constant_wrong_predictions(wrong):
    _, labels = random_sequence(1)
    predictions = np.full_like(labels, wrong)
    result = score((predictions, labels))
    assert (result["miou"], result["acc"]) == (0, 0)
    assert steadiness((predictions, labels)) == {"cons": 100.0, "consw": 100.0}


def constancy(*updates, window):
    metric = VideoConsistency(window)
    for predictions, labels in updates:
        metric.update(torch.as_tensor(predictions), torch.as_tensor(labels))
    return metric.compute().item()


def test_video_consistency_by_hand():
    """Windows of two. First: two constant pixels, one right throughout. Second: one, constant but wrong."""
    labels = torch.tensor([[[0, 0, 1, IGNORE]], [[0, 0, 2, IGNORE]], [[IGNORE, 0, 1, 0]]])
    predictions = torch.tensor([[[0, 0, 1, 0]], [[0, 2, 2, 0]], [[0, 2, 1, 0]]])
    assert video_consistency(predictions, labels, 2).tolist() == [0.5, 0.0]
    assert constancy((predictions, labels), window=2) == pytest.approx(25)
    assert constancy((predictions, labels), window=3) == 0.0  # one pixel is constant, and wrong in the end
    assert np.isnan(constancy((predictions, labels), window=4))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("window", [1, 2, 4, 6])
def test_video_consistency_against_loops(seed, window):
    predictions, labels = random_sequence(seed)
    shares = []
    for start in range(len(labels) - window + 1):
        constant = right = 0
        for y in range(labels.shape[1]):
            for x in range(labels.shape[2]):
                truth = set(labels[start : start + window, y, x])
                if len(truth) == 1 and IGNORE not in truth:
                    constant += 1
                    right += set(predictions[start : start + window, y, x]) == truth
        shares.append(right / constant)
    assert constancy((predictions, labels), window=window) == pytest.approx(100 * np.mean(shares))


def test_video_consistency_of_windows_equals_that_of_the_clip():
    predictions, labels = random_sequence(2)
    windows = [(predictions[t : t + 3], labels[t : t + 3]) for t in range(len(labels) - 2)]
    assert constancy(*windows, window=3) == pytest.approx(constancy((predictions, labels), window=3))


def test_windows_without_a_constant_pixel_do_not_count():
    labels = [[[0]], [[0]], [[1]], [[IGNORE]]]
    assert constancy((labels, labels), window=2) == 100.0
    assert np.isnan(constancy((labels[2:], labels[2:]), window=2))


def _accumulate(rank, folder, sequences):
    """Feed the metrics of one of two processes."""
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    metrics = [SegmentationScore(CLASSES), Consistency(), VideoConsistency(2)]
    for metric in metrics:
        metric.update(*map(torch.as_tensor, sequences[rank]))
    torch.save([metric.compute() for metric in metrics], f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_count_together(tmp_path):
    sequences = [random_sequence(seed) for seed in (0, 1)]
    torch.multiprocessing.spawn(_accumulate, (str(tmp_path), sequences), nprocs=2)
    for rank in (0, 1):
        together = torch.load(tmp_path / f"{rank}.pt")
        assert together[0]["miou"].item() == pytest.approx(float(score(*sequences)["miou"]))
        assert together[1]["cons"].item() == pytest.approx(steadiness(*sequences)["cons"])
        assert together[2].item() == pytest.approx(constancy(*sequences, window=2))

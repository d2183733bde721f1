"""Metrics that need no ground truth: by hand, against loops, and on the street world, whose motion is known."""

import itertools

import numpy as np
import pytest
import torch

from vidseg_ros.flow.motion import Motion, estimate_flow, motion_boundary, nearest, sample, visible
from vidseg_ros.labels import CAMVID, IGNORE
from vidseg_ros.metrics import (
    Flicker,
    TemporalConsistency,
    Tracks,
    TrajectoryConsistency,
    flicker,
    published_agreement,
    visible_agreement,
)
from vidseg_ros.metrics.trajectory import SPACING
from vidseg_ros.simulation.street_world import StreetWorld, StreetWorldConfig

pytestmark = pytest.mark.filterwarnings("ignore:The ``compute`` method")  # before anything came: NaN
CLASSES = 4
SEEDS = range(4)


def random_pair(seed, shape=(9, 11)):
    random = np.random.default_rng(seed)
    before = random.integers(0, CLASSES, shape).astype(np.uint8)
    now = np.where(random.random(shape) < 0.3, random.integers(0, CLASSES, shape), before).astype(np.uint8)
    flow = random.normal(0, 1.5, (2, *shape)).astype(np.float32)
    return tuple(map(torch.from_numpy, (before, now, flow, random.random(shape) < 0.7)))


def shift(rows, columns, shape=(8, 8)):
    return torch.tensor([columns, rows], dtype=torch.float32).view(2, 1, 1).expand(2, *shape)


@pytest.fixture(scope="module")
def drive():
    world = StreetWorld(StreetWorldConfig(width=320, height=240, seed=1))
    return [world.frame(index) for index in range(8)]


def true_flow(frame):
    """Flow of the street world, as the metrics take it: (2, H, W)."""
    return torch.from_numpy(frame.flow).permute(2, 0, 1)


def bilinear(plane, x, y):
    """Read one place, the slow way."""
    height, width = plane.shape
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    total = 0.0
    for row in range(height):
        for column in range(width):
            total += plane[row, column] * max(0, 1 - abs(x - column)) * max(0, 1 - abs(y - row))
    return total


@pytest.mark.parametrize("seed", SEEDS)
def test_sampling_against_loops(seed):
    plane, _, _, _ = random_pair(seed)
    x, y = np.random.default_rng(seed).uniform(-2, 12, (2, 20)).astype(np.float32)
    expected = [bilinear(plane.numpy(), a, b) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(sample(plane, torch.tensor(x), torch.tensor(y)), expected, atol=1e-4)


def test_planes_are_sampled_one_by_one():
    planes = torch.rand(2, 9, 11, generator=torch.manual_seed(0))
    x, y = 11 * torch.rand(2, 5, 6, generator=torch.manual_seed(1))
    assert torch.equal(sample(planes, x, y), torch.stack([sample(plane, x, y) for plane in planes]))


def test_equal_neighbours_stay_exact():
    """Where weights are multiplied out, 7 becomes 6.9999995, and as a label 6."""
    places = torch.rand(1000, generator=torch.manual_seed(0)) * 7
    assert (sample(torch.full((8, 8), 7, dtype=torch.uint8), places, places.flip(0)) == 7).all()


def test_published_form_treats_labels_as_grey_levels():
    """Half way between class 0 and class 3 lies class 1: the published form counts it, the corrected one does not."""
    later = torch.tensor([[0, 3, 3]], dtype=torch.uint8)
    now = torch.tensor([[1, 3, 3]], dtype=torch.uint8)
    flow = shift(0, 0.5, (1, 3))
    published = published_agreement(now, later, flow, CLASSES)
    assert (published[1, 1], published[3, 3]) == (1, 2)
    seen = torch.tensor([[False, True, True]])
    aware = visible_agreement(now, later, flow, seen, CLASSES)
    assert (aware.sum(), aware[3, 3]) == (2, 2)


def test_consistency_by_hand():
    """Two of four classes occur. Class 0: 2 of 3 pixels agree; class 1: 1 of 2."""
    now, later = (torch.tensor(ids, dtype=torch.uint8) for ids in ([[0, 0, 0, 1]], [[0, 0, 1, 1]]))
    metric = TemporalConsistency(CLASSES)
    assert metric.compute()["tc"].isnan() and metric.compute()["tc_visible"].isnan()
    metric.update(now, later, shift(0, 0, (1, 4)), torch.ones(1, 4, dtype=torch.bool))
    result = metric.compute()
    assert result["tc"].item() == pytest.approx(100 * (2 / 3 + 1 / 2) / 4)
    assert result["tc_visible"].item() == pytest.approx(100 * (2 / 3 + 1 / 2) / 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_consistency_against_loops(seed):
    now, later, flow, seen = random_pair(seed)
    height, width = now.shape
    both, either = np.zeros((2, CLASSES)), np.zeros((2, CLASSES))
    for y in range(height):
        for x in range(width):
            to_x, to_y = x + flow[0, y, x].item(), y + flow[1, y, x].item()
            grey = int(bilinear(later.numpy(), to_x, to_y) + 1e-5)
            close = later[min(max(round(to_y), 0), height - 1), min(max(round(to_x), 0), width - 1)].item()
            for form, (value, counted) in enumerate([(grey, True), (close, bool(seen[y, x]))]):
                for k in range(CLASSES):
                    both[form, k] += counted and value == k and now[y, x] == k
                    either[form, k] += counted and k in (value, now[y, x])
    metric = TemporalConsistency(CLASSES)
    metric.update(now, later, flow, seen)
    result = metric.compute()
    assert result["tc"].item() == pytest.approx(100 * np.mean(both[0] / either[0]))
    assert result["tc_visible"].item() == pytest.approx(100 * np.mean(both[1] / either[1]))


def test_visible_is_what_comes_back():
    there = shift(0, 2)
    seen = visible(there, -there)
    assert seen[:, :6].all() and not seen[:, 6:].any()  # the last two columns leave the picture
    assert not visible(there, there).any()


def test_tracks_by_hand():
    """Four points move a cell to the right a frame: two leave at once, two carry their label, one of them wrongly."""
    labels = torch.zeros(8, 8, dtype=torch.uint8)
    tracks = Tracks.begin(labels)
    assert sorted(zip(tracks.columns.tolist(), tracks.rows.tolist(), strict=True)) == [
        (1.5, 1.5), (1.5, 5.5), (5.5, 1.5), (5.5, 5.5)
    ]  # fmt: skip
    after = labels.clone()
    after[4:] = 1
    everything = torch.ones(8, 8, dtype=torch.bool)
    tracks, ended = tracks.follow(after, shift(0, SPACING), everything)
    assert ended.tolist() == [0, 0], "a point that was seen once is no trajectory"
    assert tracks.count().tolist() == [1, 2]
    assert len(tracks.columns) == 4, "new points fill the cells that were left"
    tracks, ended = tracks.follow(after, shift(0, SPACING), everything)
    assert (ended.tolist(), tracks.count().tolist()) == ([1, 2], [2, 2])


def test_hidden_points_end():
    metric = TrajectoryConsistency()
    labels = torch.zeros(8, 8, dtype=torch.uint8)
    seen = torch.ones(8, 8, dtype=torch.bool)
    metric.update(labels)
    metric.update(labels + 1, shift(0, 0), seen)
    assert metric.compute() == 0.0
    metric.update(labels + 1, shift(0, 0), ~seen)  # all end; the new points have one frame only
    metric.update(labels + 1, shift(0, 0), seen)
    assert (metric.compute().item(), metric.counts.tolist()) == (50.0, [0, 4])
    metric.update(labels)  # a new sequence: no point is carried over
    metric.update(labels, shift(0, 0), seen)
    assert metric.compute().item() == pytest.approx(100 * 8 / 12)
    metric.reset()
    assert metric.compute().isnan()


@pytest.mark.parametrize("seed", SEEDS)
def test_trajectories_against_loops(seed):
    """Follow each point alone through all frames, as a list of labels."""
    random = np.random.default_rng(seed)
    shape, frames = (13, 18), 5
    labels = [torch.from_numpy((random.random(shape) < 0.2).astype(np.uint8)) for _ in range(frames)]
    flows = [torch.from_numpy(random.normal(0.7, 1.0, (2, *shape)).astype(np.float32)) for _ in range(frames - 1)]
    seen = [torch.from_numpy(random.random(shape) < 0.8) for _ in range(frames - 1)]
    metric = TrajectoryConsistency()
    metric.update(labels[0])
    points, done = [], []
    begin(points, labels[0])
    for flow, clear, now in zip(flows, seen, labels[1:], strict=True):
        metric.update(now, flow, clear)
        points, ended = advance(points, flow, clear, now)
        done += ended
        begin(points, now)
    histories = [ids for *_, ids in [*done, *points] if len(ids) > 1]
    expected = 100 * np.mean([len(set(ids)) == 1 for ids in histories])
    assert 5 < expected < 95
    assert metric.compute().item() == pytest.approx(expected)
    metric.end()
    assert metric.counts[1] == len(histories)


def begin(points, labels):
    height, width = labels.shape
    cells = {(int((y + 0.5) // SPACING), int((x + 0.5) // SPACING)) for x, y, _ in points}
    cells = {(min(r, height // SPACING - 1), min(c, width // SPACING - 1)) for r, c in cells}
    for r in range(height // SPACING):
        for c in range(width // SPACING):
            if (r, c) not in cells:
                y, x = (r + 0.5) * SPACING - 0.5, (c + 0.5) * SPACING - 0.5
                points.append((x, y, [labels[round(y), round(x)].item()]))


def advance(points, flow, clear, labels):
    height, width = labels.shape
    alive, ended = [], []
    for x, y, ids in points:
        to_x, to_y = (np.float32(p) + np.float32(bilinear(flow[i].numpy(), x, y)) for i, p in ((0, x), (1, y)))
        here = clear[min(round(y), height - 1), min(round(x), width - 1)]
        if here and 0 <= to_x <= width - 1 and 0 <= to_y <= height - 1:
            alive.append((to_x, to_y, [*ids, labels[round(float(to_y)), round(float(to_x))].item()]))
        else:
            ended.append((x, y, ids))
    return alive, ended


def test_flicker_by_hand():
    before, now = torch.tensor([[0, 0, 0, 1, IGNORE]]), torch.tensor([[0, 2, 1, 1, 0]])
    assert flicker(before, now, 3).tolist() == [[2, 0, 0], [3, 1, 0]]
    metric = Flicker(3)
    assert metric.compute()["flicker"].isnan()
    metric.update(before, now)
    assert metric.compute()["flicker"].item() == 50.0
    np.testing.assert_allclose(metric.compute()["flicker_by_class"], [200 / 3, 0, np.nan])


@pytest.mark.parametrize("seed", SEEDS)
def test_flicker_against_loops(seed):
    before, now, *_ = random_pair(seed)
    metric = Flicker(CLASSES)
    metric.update(before, now)
    assert metric.compute()["flicker"].item() == pytest.approx(100 * np.mean(before.numpy() != now.numpy()))


def test_the_estimated_flow_is_near_the_true_one(drive):
    for first, second in itertools.pairwise(drive):
        there, back = estimate_flow(first.rgb, second.rgb), estimate_flow(second.rgb, first.rgb)
        seen = visible(there, back)
        error = (there - true_flow(first)).norm(dim=0)[seen]
        assert seen.float().mean() > 0.6
        assert error.median() < 0.6  # pixels


def judged(drive, flow_of):
    """Evaluator the true labels: what is not consistent about them is hidden, or an error of the flow."""
    tc, trajectory = TemporalConsistency(len(CAMVID)), TrajectoryConsistency()
    trajectory.update(torch.from_numpy(drive[0].labels))
    for first, second in itertools.pairwise(drive):
        flow, seen = flow_of(first, second), visible(flow_of(first, second), estimate_flow(second.rgb, first.rgb))
        labels = [torch.from_numpy(frame.labels) for frame in (first, second)]
        tc.update(*labels, flow, seen)
        trajectory.update(labels[1], flow, seen)
    return {**{name: value.item() for name, value in tc.compute().items()}, "trajectory": trajectory.compute().item()}


def test_estimated_flow_judges_as_the_true_one_does(drive):
    true = judged(drive, lambda first, second: true_flow(first))
    estimated = judged(drive, lambda first, second: estimate_flow(first.rgb, second.rgb))
    assert true["tc_visible"] > 85 > true["tc"], "the published form also counts what is hidden"
    assert true["trajectory"] > 90
    assert estimated == pytest.approx(true, abs=4)


def test_labels_that_flicker_are_found(drive):
    """Noise that the picture does not have is found by every metric."""
    random = np.random.default_rng(0)
    steady, noisy = TrajectoryConsistency(), TrajectoryConsistency()
    tc = [TemporalConsistency(len(CAMVID)), TemporalConsistency(len(CAMVID))]
    for number, (first, second) in enumerate(itertools.pairwise(drive)):
        true = [torch.from_numpy(frame.labels) for frame in (first, second)]
        flow = true_flow(first)
        seen = visible(flow, estimate_flow(second.rgb, first.rgb))
        spoilt = [labels.where(torch.from_numpy(random.random(labels.shape) > 0.1), 4) for labels in true]
        for metric, labels in ((steady, true), (noisy, spoilt)):
            if number == 0:
                metric.update(labels[0])
            metric.update(labels[1], flow, seen)
        tc[0].update(*true, flow, seen)
        tc[1].update(*spoilt, flow, seen)
    assert noisy.compute() < steady.compute() - 10
    for form in ("tc", "tc_visible"):
        assert tc[1].compute()[form] < tc[0].compute()[form] - 5


def test_places_between_pixels():
    plane = torch.arange(6).reshape(2, 3)
    assert nearest(plane, torch.tensor([1.4, 9.0]), torch.tensor([0.6, -3.0])).tolist() == [4, 2]


def test_edges_of_the_motion_by_hand():
    """A square that moves by 4 on still ground: its rim, on both sides; a slow slope of fast motion is none."""
    flow = torch.zeros(2, 12, 14)
    flow[0, 4:8, 5:10] = 4.0
    edge = motion_boundary(flow)
    expected = torch.zeros(12, 14, dtype=torch.bool)
    expected[3:9, 5:10] = expected[4:8, 4:11] = True
    expected[5:7, 6:9] = False
    assert torch.equal(edge, expected)
    slope = torch.zeros(2, 12, 14)
    slope[0] = 10 + 0.5 * torch.arange(14)
    assert not motion_boundary(slope).any()
    slope[0] -= 10
    assert motion_boundary(slope)[:, :4].all()


def test_trajectories_end_at_edges_of_the_motion():
    """A label that changes where the flow breaks is no fault of a trajectory that ended there."""
    flow = torch.zeros(2, 8, 16)
    flow[0, :, 6:] = 0.5
    seen = torch.ones(8, 16, dtype=torch.bool)
    labels = torch.zeros(2, 8, 16, dtype=torch.uint8)
    labels[1, :, 4:8] = 1
    motion = Motion(flow, seen)
    assert torch.equal(motion.tracked[:, 4:8], torch.tensor([True, False, False, True]).expand(8, 4))
    for mask, share in ((seen, 75.0), (motion.tracked, 100.0)):
        metric = TrajectoryConsistency()
        metric.update(labels[0])
        metric.update(labels[1], flow, mask)
        assert metric.compute().item() == share

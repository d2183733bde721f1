"""Distillation: zero where student and teacher are one, against loops, gradients, and its place in the objective."""

import math

import pytest
import torch
from torch.nn import functional

from vidseg_ros.errors import UserError
from vidseg_ros.labels import IGNORE
from vidseg_ros.losses import Batch, Objective, Output
from vidseg_ros.losses.config import LossConfig
from vidseg_ros.losses.distillation import (
    CLIP_GRID,
    ENLARGE,
    HIDDEN,
    LARGEST_WEIGHT,
    ClipEmbedding,
    common_grid,
    multi_frame,
    pair_wise,
    single_frame,
)


def random_logits(seed, frames=3, batch=2, classes=3, height=4, width=5, dtype=torch.float64):
    random = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(frames, batch, classes, height, width, generator=random, dtype=dtype)


def test_single_frame_by_hand():
    student, teacher = (torch.tensor(p).view(1, 1, 2, 1, 1).log() for p in ([0.5, 0.5], [0.8, 0.2]))
    expected = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    assert single_frame(student, teacher).item() == pytest.approx(expected)
    assert single_frame(student + 3.0, teacher - 2.0).item() == pytest.approx(expected), "logits of any level"


def test_single_frame_is_the_divergence_of_pytorch():
    student, teacher = random_logits(0), random_logits(1)
    ways = [x.movedim(2, -1).flatten(0, -2).log_softmax(-1) for x in (student, teacher)]
    expected = functional.kl_div(*ways, reduction="batchmean", log_target=True)
    torch.testing.assert_close(single_frame(student, teacher), expected)


def cosine(first, second):
    norm = math.sqrt(sum(a * a for a in first)) * math.sqrt(sum(b * b for b in second))
    return sum(a * b for a, b in zip(first, second, strict=True)) / norm


def affinities(first, second):
    """Of all places of two maps (C, H, W)."""
    places = [x.flatten(1).T.tolist() for x in (first, second)]
    return [[cosine(a, b) for b in places[1]] for a in places[0]]


def slow_pair_wise(student, teacher):
    """Equation (2), place by place."""
    costs = []
    for t in range(len(student) - 1):
        for n in range(student.shape[1]):
            maps = [affinities(*(x[t + k, n].softmax(0) for k in (0, 1))) for x in (student, teacher)]
            costs += [
                (s - r) ** 2 for mine, theirs in zip(*maps, strict=True) for s, r in zip(mine, theirs, strict=True)
            ]
    return sum(costs) / len(costs)


@pytest.mark.parametrize("seed", range(3))
def test_pair_wise_against_loops(seed):
    student, teacher = random_logits(seed), random_logits(seed + 10)
    assert pair_wise(student, teacher).item() == pytest.approx(slow_pair_wise(student, teacher))


def test_large_frames_are_compared_at_a_grid():
    student, teacher = random_logits(1, height=6, width=8), random_logits(2, height=6, width=8)
    pooled = [
        functional.avg_pool2d(x.softmax(2).flatten(0, 1), (3, 4)).unflatten(0, (3, 2)) for x in (student, teacher)
    ]
    torch.testing.assert_close(pair_wise(student, teacher, grid=2), pair_wise(*(p.log() for p in pooled)))
    assert common_grid(64, student, teacher[..., :5]) == (6, 5)


def slow_embedding(features, weight, bias):
    """A ConvLSTM over self-similarity maps, (F, h, w) each, place by place: the hidden state (HIDDEN, P, P)."""
    maps = [affinities(x, x) for x in features]
    side = len(maps[0])
    h = [[[0.0] * side for _ in range(side)] for _ in range(HIDDEN)]
    c = [[[0.0] * side for _ in range(side)] for _ in range(HIDDEN)]
    for seen in maps:
        inputs, before = [seen, *h], c
        h = [[[0.0] * side for _ in range(side)] for _ in range(HIDDEN)]
        c = [[[0.0] * side for _ in range(side)] for _ in range(HIDDEN)]
        for y in range(side):
            for x in range(side):
                near = [
                    (k, v, u)
                    for k in range(1 + HIDDEN)
                    for v in range(3)
                    for u in range(3)
                    if 0 <= y + v - 1 < side and 0 <= x + u - 1 < side
                ]
                gates = [
                    b + sum(w[k][v][u] * inputs[k][y + v - 1][x + u - 1] for k, v, u in near)
                    for w, b in zip(weight, bias, strict=True)
                ]
                for channel in range(HIDDEN):
                    i, f, o = (1 / (1 + math.exp(-gates[gate * HIDDEN + channel])) for gate in range(3))
                    c[channel][y][x] = f * before[channel][y][x] + i * math.tanh(gates[3 * HIDDEN + channel])
                    h[channel][y][x] = o * math.tanh(c[channel][y][x])
    return torch.tensor(h, dtype=torch.float64)


def embedding_of(seed):
    torch.manual_seed(seed)
    return ClipEmbedding().double()


def test_multi_frame_against_loops():
    """Features of two networks with other numbers of channels."""
    embedding = embedding_of(3)
    student, teacher = random_logits(1, 2, 1, 4, 2, 3), random_logits(2, 2, 1, 6, 2, 3)
    weight, bias = embedding.gates.weight.tolist(), embedding.gates.bias.tolist()
    slow = [slow_embedding(x[:, 0], weight, bias) for x in (student, teacher)]
    torch.testing.assert_close(embedding(student, (2, 3))[0], slow[0])
    expected = (slow[0] - slow[1]).square().mean().item()
    assert multi_frame(student, teacher, embedding).item() == pytest.approx(expected)


def test_equal_networks_cost_nothing():
    logits, embedding = random_logits(4, height=20, width=24), embedding_of(0)
    for cost in (single_frame, pair_wise):
        assert cost(logits, logits.clone()).item() == pytest.approx(0.0, abs=1e-15)
        assert cost(logits, random_logits(5, height=20, width=24)) > 1e-4
    assert multi_frame(logits, 3 * logits, embedding).item() == pytest.approx(0.0, abs=1e-15), "of any size"
    assert multi_frame(logits, random_logits(6, height=20, width=24), embedding) > 1e-8


@pytest.mark.parametrize("cost", [single_frame, pair_wise])
def test_gradients(cost):
    student, teacher = random_logits(7, 2, 1, 3, 2, 3), random_logits(8, 2, 1, 3, 2, 3)
    assert torch.autograd.gradcheck(lambda x: cost(x, teacher), student.requires_grad_())


def test_gradients_of_features():
    embedding = embedding_of(1)
    student, teacher = random_logits(9, 2, 1, 3, 2, 3), random_logits(10, 2, 1, 4, 2, 3)
    assert torch.autograd.gradcheck(lambda x: multi_frame(x, teacher, embedding), student.requires_grad_())


def test_the_embedding_grows_against_its_collapse():
    """For equal features, what is left of the gradient enlarges the teacher's embedding."""
    embedding = embedding_of(2)
    features = random_logits(11)
    multi_frame(features, features, embedding).backward()
    gradient = [parameter.grad.clone() for parameter in embedding.parameters()]
    embedding.zero_grad()
    (-ENLARGE * embedding(features, (4, 5)).square().mean()).backward()
    for found, parameter in zip(gradient, embedding.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad)


def test_weights_of_the_embedding_stay_in_their_range():
    objective = Objective(LossConfig(lambda_mf=0.1))
    with torch.no_grad():
        for parameter in objective.embedding.parameters():
            parameter.mul_(100)
    objective.clip_weights()
    largest = max(parameter.abs().max().item() for parameter in objective.embedding.parameters())
    assert largest == pytest.approx(LARGEST_WEIGHT)
    Objective().clip_weights()


def test_they_fall_in_training():
    """Free logits and features find those of the teacher."""
    teacher = random_logits(12, height=6, width=8, dtype=torch.float32)
    student = random_logits(13, height=6, width=8, dtype=torch.float32).requires_grad_()
    objective = Objective(LossConfig(lambda_incons=0, lambda_sf=1.0, lambda_pf=10.0, lambda_mf=100.0))
    optimizer = torch.optim.Adam([student, *objective.parameters()], 0.05)
    frames, labels = torch.zeros(3, 2, 3, 6, 8, dtype=torch.uint8), torch.full((3, 2, 6, 8), IGNORE)
    path = []
    for _ in range(60):
        losses = objective(Batch(frames, labels), Output(student, features=student), Output(teacher, features=teacher))
        optimizer.zero_grad()
        losses["total"].backward()
        optimizer.step()
        objective.clip_weights()
        path.append({name: value.item() for name, value in losses.items()})
    for name in ("sf", "pf", "mf"):
        assert path[-1][name] < 0.5 * path[0][name], name
    assert path[-1]["ce"] == 0.0, "nothing is labelled"


def test_their_place_in_the_objective():
    torch.manual_seed(0)
    student, teacher = (random_logits(seed, dtype=torch.float32) for seed in (14, 15))
    frames, labels = torch.zeros(3, 2, 3, 4, 5, dtype=torch.uint8), torch.zeros(3, 2, 4, 5, dtype=torch.uint8)
    objective = Objective(LossConfig(lambda_sf=2.0, lambda_pf=3.0, lambda_mf=4.0))
    said = Output(student, features=student), Output(teacher, features=teacher)
    loss = objective(Batch(frames, labels), *said)
    assert list(loss) == ["total", "ce", "incons", "sf", "pf", "mf"]
    weighted = 2 * loss["sf"] + 3 * loss["pf"] + 4 * loss["mf"]
    torch.testing.assert_close(loss["total"], loss["ce"] + 10 * loss["incons"] + weighted)
    assert loss["sf"] == single_frame(student, teacher)
    assert loss["pf"] == pair_wise(student, teacher)
    assert list(Objective(LossConfig())(Batch(frames, labels), *said)) == ["total", "ce", "incons"]
    assert not list(Objective(LossConfig(lambda_sf=1.0)).parameters())
    with pytest.raises(UserError, match="there is no teacher"):
        objective(Batch(frames, labels), said[0])


def test_a_teacher_of_more_pixels_is_averaged():
    student = random_logits(16, dtype=torch.float32)
    teacher = random_logits(17, height=8, width=10, dtype=torch.float32)
    frames, labels = torch.zeros(3, 2, 3, 8, 10, dtype=torch.uint8), torch.zeros(3, 2, 8, 10, dtype=torch.uint8)
    found = Objective(LossConfig(lambda_sf=1.0))(Batch(frames, labels), Output(student), Output(teacher))["sf"]
    mean = functional.avg_pool2d(teacher.softmax(2).flatten(0, 1), 2).unflatten(0, (3, 2))
    torch.testing.assert_close(found, single_frame(student, mean.log()))


@pytest.mark.parametrize("length", [1, 2])
def test_clips_that_are_all_void_cost_numbers(length):
    """All terms together, on clips without one label and without flow, are finite, and so is their gradient."""
    student = random_logits(18, length, dtype=torch.float32).requires_grad_()
    config = LossConfig(lambda_temporal=0.1, lambda_sf=0.1, lambda_pf=0.1, lambda_mf=0.1)
    frames = torch.zeros(length, 2, 3, 4, 5, dtype=torch.uint8)
    labels = torch.full((length, 2, 4, 5), IGNORE, dtype=torch.uint8)
    batch = Batch(frames, labels, torch.full((length - 1, 2, 2, 4, 5), 1e6))
    teacher = random_logits(19, length, dtype=torch.float32)
    objective = Objective(config, torch.ones(3))
    losses = objective(batch, Output(student, features=student), Output(teacher, features=teacher))
    losses["total"].backward()
    assert all(value.isfinite() for value in losses.values())
    assert losses["ce"] == losses["temporal"] == losses["incons"] == 0
    assert student.grad.isfinite().all() and student.grad.abs().sum() > 0


def test_features_of_any_size_meet_at_a_grid():
    """Each area by itself is a place: what is constant there costs what its mean does."""
    student, teacher = random_logits(20, 2, 1, 3, 16, 16), random_logits(21, 2, 1, 5, 16, 16)
    large = teacher.repeat_interleave(3, 3).repeat_interleave(2, 4)
    cost = multi_frame(student, large, embedding_of(0))
    torch.testing.assert_close(cost, multi_frame(student, teacher, embedding_of(0)))
    assert cost > 0
    assert embedding_of(0)(student, (CLIP_GRID, CLIP_GRID)).shape == (1, HIDDEN, CLIP_GRID**2, CLIP_GRID**2)


@pytest.mark.parametrize("name", ["sf", "pf", "mf", "temporal"])
def test_weights_below_zero_are_refused(name):
    with pytest.raises(UserError, match=rf"loss.lambda_{name} is -0.1; it must not be negative"):
        LossConfig(**{f"lambda_{name}": -0.1})

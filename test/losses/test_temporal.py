"""The motion-guided temporal loss: by hand, against loops, its gradient, its place in the objective."""

import math

import pytest
import torch

from vidseg_ros.errors import UserError
from vidseg_ros.losses import Batch, Objective, Output, temporal
from vidseg_ros.losses.config import LossConfig
from vidseg_ros.losses.temporal import STD

BOTH = pytest.mark.parametrize("on_logits", [False, True])


def random_clip(seed, frames=3, batch=2, classes=3, height=5, width=6):
    """Logits, frames and a flow of up to some pixels, which leads out of the picture in places."""
    random = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(frames, batch, classes, height, width, generator=random)
    pictures = torch.randint(0, 256, (frames, batch, 3, height, width), generator=random).to(torch.uint8)
    return logits, pictures, torch.randn(frames - 1, batch, 2, height, width, generator=random)


@BOTH
def test_a_still_clip_of_one_opinion_costs_nothing(on_logits):
    logits, frames, flow = random_clip(0)
    logits, frames = logits[:1].expand_as(logits), frames[:1].expand_as(frames)
    assert temporal(logits, frames, torch.zeros_like(flow), on_logits) == pytest.approx(0.0, abs=1e-9)


@BOTH
def test_what_moves_along_costs_nothing(on_logits):
    """A picture and its logits, one pixel further to the right in each frame."""
    logits, frames, _ = random_clip(1, width=8)
    logits, frames = (torch.stack([x[0].roll(t, -1) for t in range(3)]) for x in (logits, frames))
    flow = torch.tensor([1.0, 0.0]).view(2, 1, 1).expand(2, 2, 2, 5, 8)
    assert temporal(logits, frames, flow, on_logits) == pytest.approx(0.0, abs=1e-9)
    assert temporal(logits, frames, torch.zeros_like(flow), on_logits) > 0.01


def test_by_hand():
    """Two pixels, two classes: the first changes its mind under an equal picture, the second under another one."""
    first = torch.tensor([0.9, 0.8]).view(1, 1, 1, 1, 2)
    then = torch.tensor([0.6, 0.3]).view(1, 1, 1, 1, 2)
    logits = torch.cat([torch.cat([p, 1 - p], 2).log() for p in (first, then)])
    frames = torch.zeros(2, 1, 3, 1, 2, dtype=torch.uint8)
    frames[1, 0, :, 0, 1] = torch.tensor([51, 102, 0])  # 0.2, 0.4 and 0 of white
    found = temporal(logits, frames, torch.zeros(1, 1, 2, 1, 2))
    assert found.item() == pytest.approx((2 * 0.3**2 + math.exp(-0.2) * 2 * 0.5**2) / 2, rel=1e-5)
    found = temporal(logits, frames, torch.zeros(1, 1, 2, 1, 2), on_logits=True)
    change = [math.log(0.9 / 0.6), math.log(0.1 / 0.4), math.log(0.8 / 0.3), math.log(0.2 / 0.7)]
    likeness = math.exp(-(0.2 / 0.229 + 0.4 / 0.224))
    expected = (change[0] ** 2 + change[1] ** 2 + likeness**2 * (change[2] ** 2 + change[3] ** 2)) / 2 / 2
    assert found.item() == pytest.approx(expected, rel=1e-5)


def read_between(plane, row, column):
    """The value of a plane between its pixels."""
    top, left = min(int(row), plane.shape[0] - 2), min(int(column), plane.shape[1] - 2)
    down, across = row - top, column - left
    upper = (1 - across) * plane[top, left] + across * plane[top, left + 1]
    return float((1 - down) * upper + down * ((1 - across) * plane[top + 1, left] + across * plane[top + 1, left + 1]))


def slow_temporal(logits, frames, flow, on_logits):
    """Equation (1) of the ETC paper, or the public code, pixel by pixel."""
    scores, colours = logits if on_logits else logits.softmax(2), frames.float() / 255
    total, count = 0.0, 0
    for t, n, y, x in torch.cartesian_prod(*(torch.arange(m) for m in (*flow.shape[:2], *flow.shape[3:]))).tolist():
        column, row = x + flow[t, n, 0, y, x].item(), y + flow[t, n, 1, y, x].item()
        if not (0 <= column <= flow.shape[4] - 1 and 0 <= row <= flow.shape[3] - 1):
            continue
        count += 1
        shades = [
            c[y, x].item() - read_between(d, row, column) for c, d in zip(colours[t, n], colours[t + 1, n], strict=True)
        ]
        changes = [
            s[y, x].item() - read_between(r, row, column) for s, r in zip(scores[t, n], scores[t + 1, n], strict=True)
        ]
        if on_logits:
            likeness = math.exp(-abs(sum(shade / std for shade, std in zip(shades, STD, strict=True))))
            total += sum((likeness * change) ** 2 for change in changes) / len(changes)
        else:
            total += math.exp(-sum(map(abs, shades)) / 3) * sum(change**2 for change in changes)
    return total / count


@BOTH
@pytest.mark.parametrize("seed", range(3))
def test_against_loops(on_logits, seed):
    logits, frames, flow = random_clip(seed)
    expected = slow_temporal(logits, frames, flow, on_logits)
    assert temporal(logits, frames, flow, on_logits).item() == pytest.approx(expected, rel=1e-4)


@BOTH
def test_gradient_by_finite_differences(on_logits):
    """Along random directions; the warp runs in float32, so the steps are large."""
    logits, frames, flow = random_clip(4)
    logits.requires_grad_()
    temporal(logits, frames, flow, on_logits).backward()
    assert (logits.grad[0] != 0).any()
    assert (logits.grad[-1] != 0).any(), "both frames of a pair learn"
    step = 1e-2
    for seed in range(3):
        way = torch.randn(logits.shape, generator=torch.Generator().manual_seed(seed))
        ahead, behind = (temporal(logits.detach() + s * way, frames, flow, on_logits) for s in (step, -step))
        slope = (logits.grad * way).sum().item()
        assert (ahead - behind).item() / (2 * step) == pytest.approx(slope, rel=2e-2, abs=1e-4)


@BOTH
def test_what_is_hidden_counts_less(on_logits):
    """Something white covers half of a black picture, and the prediction changes there."""
    logits, frames = torch.zeros(2, 1, 2, 4, 6), torch.zeros(2, 1, 3, 4, 6, dtype=torch.uint8)
    logits[1, :, 0, :, 3:] = 4.0
    flow = torch.zeros(1, 1, 2, 4, 6)
    seen = temporal(logits, frames, flow, on_logits)
    frames[1, ..., 3:] = 255
    hidden = temporal(logits, frames, flow, on_logits)
    likeness = math.exp(-2 * sum(1 / std for std in STD)) if on_logits else math.exp(-1)
    assert hidden.item() == pytest.approx(likeness * seen.item(), rel=1e-4, abs=1e-9)


@BOTH
def test_what_leaves_the_picture_does_not_count(on_logits):
    logits, frames, flow = random_clip(5)
    flow[..., 2:] = 1e6
    spoilt = logits.clone()
    spoilt[0, ..., 2:] += 100  # in the first frame, which is not warped
    costs = [temporal(x, frames, flow, on_logits) for x in (logits, spoilt)]
    assert costs[0] == costs[1] > 0
    gone = logits.clone().requires_grad_()
    cost = temporal(gone, frames, torch.full_like(flow, 1e6), on_logits)
    cost.backward()
    assert cost == 0
    assert torch.equal(gone.grad, torch.zeros_like(gone))


@pytest.mark.parametrize("variant", ["probabilities", "logits"])
def test_its_place_in_the_objective(variant):
    logits, frames, flow = random_clip(6)
    labels = torch.zeros(3, 2, 5, 6, dtype=torch.uint8)
    config = LossConfig(lambda_incons=2.0, lambda_temporal=3.0, temporal=variant)
    loss = Objective(config)(Batch(frames, labels, flow), Output(logits))
    assert list(loss) == ["total", "ce", "incons", "temporal"]
    assert loss["temporal"] == temporal(logits, frames, flow, variant == "logits")
    torch.testing.assert_close(loss["total"], loss["ce"] + 2 * loss["incons"] + 3 * loss["temporal"])
    without = Objective(LossConfig())(Batch(frames, labels, flow), Output(logits))
    assert list(without) == ["total", "ce", "incons"]
    single = Objective(config)(Batch(frames[:1], labels[:1]), Output(logits[:1]))
    assert single["temporal"] == 0


def test_flow_that_nobody_knows():
    logits, frames, _ = random_clip(7)
    batch = Batch(frames, torch.zeros(3, 2, 5, 6, dtype=torch.uint8))
    with pytest.raises(UserError, match=r"lambda_temporal is 0.1, .* not known; give it, or set it to 0"):
        Objective(LossConfig(lambda_temporal=0.1))(batch, Output(logits))


def test_settings_that_do_not_exist():
    with pytest.raises(UserError, match=r"loss.temporal is 'labels'; use one of probabilities, logits"):
        LossConfig(temporal="labels")
    with pytest.raises(UserError, match=r"loss.lambda_temporal is -1; it must not be negative"):
        LossConfig(lambda_temporal=-1)


def test_a_batch_at_the_resolution_of_small_logits():
    """Colours and motion are those of the areas; half the pixels, half the motion."""
    frames = torch.tensor([[0, 100], [200, 100]], dtype=torch.uint8).repeat(2, 1, 3, 3, 5)
    flow = torch.tensor([2.0, -6.0]).view(2, 1, 1).expand(1, 1, 2, 6, 10)
    batch = Batch(frames, torch.arange(60, dtype=torch.uint8).view(1, 1, 6, 10).expand(2, 1, 6, 10), flow)
    assert batch.resized(6, 10) is batch
    small = batch.resized(3, 5)
    assert torch.equal(small.frames, torch.full((2, 1, 3, 3, 5), 100, dtype=torch.uint8))
    assert torch.equal(small.labels, batch.labels[..., ::2, ::2])
    torch.testing.assert_close(small.flow, flow[..., :3, :5] / 2)


def test_the_objective_compiles_as_one_graph():
    logits, frames, flow = random_clip(8)
    batch = Batch(frames, torch.zeros(3, 2, 5, 6, dtype=torch.uint8), flow)
    weights = torch.tensor([1.0, 2.0, 3.0])
    objective = Objective(LossConfig(lambda_temporal=0.1), weights)
    expected = objective(batch, Output(logits))
    objective.compile(backend="eager", fullgraph=True)
    found = objective(batch, Output(logits))
    assert list(found) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)

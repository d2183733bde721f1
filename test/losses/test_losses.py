import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from vidseg_ros.errors import UserError
from vidseg_ros.labels import IGNORE
from vidseg_ros.losses import CODE, Batch, Objective, Output, Rule, class_weights, cross_entropy, inconsistency
from vidseg_ros.losses.config import LossConfig


def random_clip(seed, frames=3, batch=2, classes=3, height=4, width=5):
    """Return logits (T, N, C, H, W) and labels (T, N, H, W) that change little and are void in places."""
    random = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(frames, batch, classes, height, width, generator=random, dtype=torch.float64)
    still = torch.randint(0, classes, (batch, height, width), generator=random).expand(frames, -1, -1, -1)
    other = torch.randint(0, classes, still.shape, generator=random)
    labels = torch.where(torch.rand(still.shape, generator=random) < 0.2, other, still)
    labels[torch.rand(still.shape, generator=random) < 0.2] = IGNORE
    return logits, labels


def objective_of(logits, labels, config=None, weights=None):
    """The terms of clips whose frames do not matter."""
    frames = torch.zeros(*labels.shape[:2], 3, *labels.shape[2:], dtype=torch.uint8)
    return Objective(config, weights)(Batch(frames, labels), Output(logits))


def test_class_weights():
    weights = class_weights(torch.tensor([0.0, 1.0, 0.25]))
    torch.testing.assert_close(weights, torch.tensor([1 / math.log(1.1), 1 / math.log(2.1), 1 / math.log(1.35)]))
    half = class_weights(torch.tensor([0.0, 0.25]), 0.5)
    torch.testing.assert_close(half, torch.tensor([math.log(1.1) ** -0.5, math.log(1.35) ** -0.5]))
    torch.testing.assert_close(class_weights(torch.tensor([0.0, 1.0]), 0.0), torch.ones(2))


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 2.0, 7.0], dtype=torch.float64)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_cross_entropy_is_that_of_pytorch(weights, dtype):
    logits, labels = random_clip(0)
    assert (labels == IGNORE).any()
    expected = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(0, 1), weights, ignore_index=IGNORE)
    torch.testing.assert_close(cross_entropy(logits, labels.to(dtype), weights), expected)


@pytest.mark.parametrize("weights", [None, torch.ones(3, dtype=torch.float64)])
def test_cross_entropy_without_labels_is_zero(weights):
    logits, labels = random_clip(1)
    logits.requires_grad_()
    loss = cross_entropy(logits, torch.full_like(labels, IGNORE), weights)
    loss.backward()
    assert loss == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def pair(labels, probabilities):
    """Two frames of 1x2 pixels and two classes from (then, now) labels and probabilities of class 0 of each pixel."""
    labels = torch.tensor(labels).T.reshape(2, 1, 1, 2)
    first = torch.tensor(probabilities, dtype=torch.float64).T.reshape(2, 1, 1, 1, 2)
    return torch.cat([first, 1 - first], 2), labels


STEADY = (0, 0), (0.9, 0.9)
MOVING = (0, 0), (0.9, 0.7)  # costs 0.2 squared
CASES = {
    "right, then wrong": ([(0, 0), (0.8, 0.4)], STEADY, 0.16 / 2),
    "wrong, then right": ([(0, 0), (0.3, 0.6)], STEADY, 0.09 / 2),
    "right twice": ([(0, 0), (0.9, 0.6)], STEADY, 0.09 / 2),
    "wrong twice": ([(0, 0), (0.4, 0.1)], STEADY, 0.0),
    "the true class is the second": ([(1, 1), (0.3, 0.7)], STEADY, 0.16 / 2),
    "both pixels": ([(0, 0), (0.6, 0.9)], MOVING, (0.09 + 0.04) / 2),
    "the truth changes": ([(0, 1), (0.9, 0.1)], MOVING, 0.04),
    "void twice": ([(IGNORE, IGNORE), (0.9, 0.1)], MOVING, 0.04),
    "void, then labelled": ([(IGNORE, 0), (0.1, 0.9)], MOVING, 0.04),
    "labelled, then void": ([(0, IGNORE), (0.9, 0.1)], MOVING, 0.04),
}


@pytest.mark.parametrize(("first", "second", "expected"), CASES.values(), ids=CASES)
def test_inconsistency_by_hand(first, second, expected):
    probabilities, labels = pair([first[0], second[0]], [first[1], second[1]])
    assert inconsistency(probabilities, labels).item() == pytest.approx(expected)


def test_inconsistency_absolute():
    probabilities, labels = pair([(0, 0), (0, 0)], [(0.8, 0.4), (0.9, 0.7)])
    assert inconsistency(probabilities, labels, Rule(absolute=True)).item() == pytest.approx((0.4 + 0.2) / 2)


def near_a_change(labels, t, n, y, x, steps):
    """Tell whether the truth changes within ``steps`` (city blocks) of a pixel."""
    _, _, height, width = labels.shape
    for v in range(height):
        for u in range(width):
            s1, s2 = labels[t, n, v, u], labels[t + 1, n, v, u]
            if s1 != s2 and IGNORE not in (s1, s2) and abs(v - y) + abs(u - x) <= steps:
                return True
    return False


def slow_inconsistency(probabilities, labels, absolute, all_classes=False, dilation=0):
    """Equations (2) to (6) of the paper, pixel by pixel."""
    frames, batch, _, height, width = probabilities.shape
    total = norm = 0
    for t in range(frames - 1):
        for n in range(batch):
            for y in range(height):
                for x in range(width):
                    s1, s2 = labels[t, n, y, x].item(), labels[t + 1, n, y, x].item()
                    p1, p2 = probabilities[t, n, :, y, x].tolist(), probabilities[t + 1, n, :, y, x].tolist()
                    if s1 == IGNORE or s1 != s2 or near_a_change(labels, t, n, y, x, dilation):
                        continue
                    norm += 1
                    if p1.index(max(p1)) == s1 or p2.index(max(p2)) == s2:
                        for s in range(len(p1)) if all_classes else [s1]:
                            total += abs(p1[s] - p2[s]) if absolute else (p1[s] - p2[s]) ** 2
    return total / max(norm, 1)


@given(st.integers(0, 10**6), st.booleans(), st.booleans(), st.integers(0, 2), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_inconsistency_against_loops(seed, absolute, all_classes, dilation, frames):
    logits, labels = random_clip(seed, frames)
    probabilities = logits.softmax(2)
    expected = slow_inconsistency(probabilities, labels, absolute, all_classes, dilation)
    found = inconsistency(probabilities, labels.to(torch.uint8), Rule(absolute, all_classes, dilation=dilation))
    assert found.item() == pytest.approx(expected)


def slow_code(probabilities, labels, name):
    """A variant of the public code, pixel by pixel, as that code words it."""
    frames, batch, _, height, width = probabilities.shape
    total = norm = 0
    for t, n, y, x in product(range(frames - 1), range(batch), range(height), range(width)):
        s1, s2 = labels[t, n, y, x].item(), labels[t + 1, n, y, x].item()
        if IGNORE in (s1, s2):
            continue
        norm += 1
        if near_a_change(labels, t, n, y, x, 2):
            continue
        p1, p2 = probabilities[t, n, :, y, x].tolist(), probabilities[t + 1, n, :, y, x].tolist()
        first, second = p1.index(max(p1)) == s1, p2.index(max(p2)) == s2
        absolute, squared = ([abs(a - b) ** power for a, b in zip(p1, p2, strict=True)] for power in (1, 2))
        total += {
            "abs_diff": sum(absolute),
            "sq_diff": sum(squared),
            "abs_diff_true": absolute[s1] * (first or second),
            "sq_diff_true": squared[s1] * (first or second),
            "sq_diff_true_XOR": squared[s1] * (first != second),
            "abs_diff_th20": sum(d for d, a, b in zip(absolute, p1, p2, strict=True) if a > 0.2 and b > 0.2),
        }[name]
    return total / max(norm, 1)


@pytest.mark.parametrize("name", CODE)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=5, deadline=None)
def test_variants_of_the_public_code_against_loops(name, seed):
    logits, labels = random_clip(seed, height=6, width=7)
    labels[labels == 2] = 1  # fewer changes, so that some pixels are far from each
    probabilities = logits.softmax(2)
    assert LossConfig(inconsistency=name).rule == CODE[name]
    found = inconsistency(probabilities, labels, CODE[name])
    assert found.item() == pytest.approx(slow_code(probabilities, labels, name))


def test_probabilities_of_zero_change_too():
    probabilities, labels = pair([(0, 0), (0, 0)], [(1.0, 0.0), (0.0, 1.0)])
    assert inconsistency(probabilities, labels).item() == 1


def test_a_variant_of_the_code_takes_no_other_settings():
    with pytest.raises(UserError, match="sq_diff, which has its own difference, compared and dilation"):
        LossConfig(inconsistency="sq_diff", dilation=2)
    with pytest.raises(UserError, match=r"loss\.inconsistency is 'argmax_pred'; use one of paper, sq_diff_true"):
        LossConfig(inconsistency="argmax_pred")


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("all_classes", [False, True])
@pytest.mark.parametrize("dilation", [0, 1])
def test_inconsistency_gradients(absolute, all_classes, dilation):
    logits, labels = random_clip(5, classes=3, height=3, width=4)
    assert torch.autograd.gradcheck(
        lambda x: inconsistency(x.softmax(2), labels, Rule(absolute, all_classes, dilation=dilation)),
        logits.requires_grad_(),
    )


def test_dilation_spares_the_neighbours_of_a_change():
    """The truth changes at the left end of a line of four pixels; all lose 0.2 of their probability."""
    labels = torch.tensor([[1, 0, 0, 0], [0, 0, 0, 0]]).view(2, 1, 1, 4)
    first = torch.tensor([0.9, 0.7], dtype=torch.float64).view(2, 1, 1, 1, 1).expand(-1, -1, -1, -1, 4)
    probabilities = torch.cat([first, 1 - first], 2)
    found = [inconsistency(probabilities, labels, Rule(True, dilation=steps)).item() for steps in range(4)]
    assert found == pytest.approx([0.2, 0.2, 0.2, 0.0])
    uneven = probabilities.clone()
    uneven[1, 0, :, 0, 1] = torch.tensor([0.9, 0.1])  # next to the change nothing happens
    found = [inconsistency(uneven, labels, Rule(True, dilation=steps)).item() for steps in range(3)]
    assert found == pytest.approx([0.4 / 3, 0.2, 0.2])


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        (LossConfig(), Rule()),
        (LossConfig(difference="absolute"), Rule(absolute=True)),
        (LossConfig(compared="all"), Rule(all_classes=True)),
        (LossConfig(dilation=2), Rule(dilation=2)),
        (LossConfig(inconsistency="sq_diff_true_XOR"), Rule(right="one", dilation=2, over_valid=True)),
    ],
)
def test_the_objective_takes_the_variant_of_its_config(config, rule):
    logits, labels = random_clip(9, height=6, width=8)
    expected = inconsistency(logits.softmax(2), labels, rule)
    torch.testing.assert_close(objective_of(logits, labels, config)["incons"], expected)


@pytest.mark.parametrize("frames", [1, 3])
def test_inconsistency_without_pairs_is_zero(frames):
    logits, labels = random_clip(6, frames)
    logits.requires_grad_()
    loss = inconsistency(logits.softmax(2), labels if frames == 1 else torch.full_like(labels, IGNORE))
    loss.backward()
    assert loss == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("factor", [0.0, 3.0])
def test_the_objective_adds_up(factor):
    logits, labels = random_clip(7)
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    loss = objective_of(logits, labels, LossConfig(lambda_incons=factor), weights)
    ce = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(0, 1), weights, ignore_index=IGNORE)
    incons = slow_inconsistency(logits.softmax(2), labels, absolute=False)
    assert incons > 0
    expected = {"total": ce.item() + factor * incons, "ce": ce.item(), "incons": incons}
    assert {name: value.item() for name, value in loss.items()} == pytest.approx(expected)


def test_the_objective_of_the_paper():
    """lambda_incons is 10 where nobody says otherwise, and single frames have no inconsistency."""
    logits, labels = random_clip(8)
    loss = objective_of(logits, labels)
    assert loss["total"].item() == pytest.approx(loss["ce"].item() + 10 * loss["incons"].item())
    single = objective_of(logits[:1], labels[:1])
    assert single["incons"] == 0
    assert single["total"] == single["ce"]


def test_the_auxiliary_term_is_cross_entropy_of_enlarged_logits():
    """Half the weight, half the term; without an auxiliary head there is none, whatever its weight."""
    logits, labels = random_clip(10, height=5, width=9)
    small = torch.randn(3, 2, 3, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    batch = Batch(torch.zeros(3, 2, 3, 5, 9, dtype=torch.uint8), labels)
    large = functional.interpolate(small.flatten(0, 1), (5, 9), mode="bilinear", align_corners=True)
    expected = functional.cross_entropy(large, labels.flatten(0, 1), weights, ignore_index=IGNORE)
    for factor in (0.4, 0.2):
        config = LossConfig(lambda_incons=0.0, lambda_auxiliary=factor)
        terms = Objective(config, weights)(batch, Output(logits, auxiliary=small))
        assert terms["auxiliary"].item() == pytest.approx(expected.item())
        assert terms["total"].item() == pytest.approx((terms["ce"] + factor * expected).item())
    assert LossConfig().lambda_auxiliary == 0.4
    assert "auxiliary" not in Objective(LossConfig())(batch, Output(logits))
    off = Objective(LossConfig(lambda_auxiliary=0.0))(batch, Output(logits, auxiliary=small))
    assert "auxiliary" not in off


def test_gradients_of_the_auxiliary_term():
    logits, labels = random_clip(11)
    batch, objective = Batch(torch.zeros(3, 2, 3, 4, 5, dtype=torch.uint8), labels), Objective(LossConfig())
    small = torch.randn(3, 2, 3, 2, 3, dtype=torch.float64, requires_grad=True)

    def term(auxiliary):
        return objective(batch, Output(logits, auxiliary=auxiliary))["auxiliary"]

    assert torch.autograd.gradcheck(term, small)

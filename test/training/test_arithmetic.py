"""Training looks at its own arithmetic before it starts."""

import time

import pytest
import torch
from torch import nn

from vidseg_ros.networks import build
from vidseg_ros.networks.registry import NETWORKS
from vidseg_ros.training.arithmetic import EXACT, PASSES, usable_precision, wrong

BF16 = "bf16-mixed"


def broken(monkeypatch, part, value):
    """Let bf16 give a wrong output, or gradient of the input or of the weight."""
    from vidseg_ros.training import arithmetic  # noqa: PLC0415

    right = arithmetic._passes

    def passes(module, x, seed, dtype):
        results = list(right(module, x, seed, None))
        if dtype is not None and module.dilation[0] > 1:
            results[part] = results[part] * value
        return tuple(results)

    monkeypatch.setattr(arithmetic, "_passes", passes)


@pytest.mark.parametrize(("part", "name"), list(enumerate(PASSES)))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.5, 0.0])
def test_what_is_wrong_is_found_and_said(part, name, value, monkeypatch):
    network, said = (
        nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 3, dilation=2), nn.Conv2d(8, 4, 3, dilation=2)),
        [],
    )
    broken(monkeypatch, part, value)
    assert usable_precision([network], BF16, "cpu", said.append) == EXACT
    (line,) = said
    assert "precision bf16-mixed is wrong on this machine for 1 of 2 kinds of convolution" in line
    assert f"the {name} of Conv2d(8, 4, kernel_size=(3, 3), stride=(1, 1), dilation=(2, 2))" in line
    assert line.endswith("training in 32-true") and "\n" not in line


def test_what_is_right_is_used_and_said(monkeypatch):
    said = []
    broken(monkeypatch, 0, 1.001)
    assert usable_precision([nn.Conv2d(8, 4, 3, dilation=2)], BF16, "cpu", said.append) == BF16
    assert said == ["precision bf16-mixed: all 1 kinds of convolution are right on this machine"]


def test_exact_arithmetic_needs_no_look():
    assert usable_precision([nn.Conv2d(8, 4, 3)], EXACT, "cpu", pytest.fail) == EXACT


@pytest.mark.parametrize("config", NETWORKS, ids=lambda config: config().name)
def test_the_look_is_short_and_leaves_no_trace(config):
    """Whatever is found here, it is found soon, and neither weights nor random numbers change."""
    torch.manual_seed(3)
    network = build(config(classes=19))
    before, state = [p.clone() for p in network.parameters()], torch.get_rng_state()
    start = time.process_time()
    assert usable_precision([network], BF16, "cpu", lambda line: None) in (BF16, EXACT)
    assert time.process_time() - start < 10  # two seconds, on a machine that does nothing else
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert all(p.grad is None for p in network.parameters())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("channels", [12, 20, 24, 25, 51])
def test_what_is_taken_for_right_is_right(channels, layout):
    """At the size of the features of a whole frame, here and now; channels last is wrong on CPUs with avx512_bf16."""
    module = nn.Conv2d(channels, channels, 3, padding=2, dilation=2, bias=False)
    found = wrong(module, BF16, "cpu", [layout])
    x = torch.randn(2, channels, 45, 60, generator=torch.Generator().manual_seed(0)).to(memory_format=layout)
    gradients = []
    for mixed in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            y = module(x)
        gradients += torch.autograd.grad(y.float().square().mean(), module.weight)
    right = (gradients[1] - gradients[0]).norm() < 0.02 * gradients[0].norm()
    assert right or found == "gradient of the weight"
    assert layout is torch.channels_last or not found

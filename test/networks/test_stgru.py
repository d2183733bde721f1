"""The unit of GRFP: against a loop that follows the paper's equations, and by its properties."""

import math
from dataclasses import replace

import pytest
import torch

from test.conftest import tiny_network
from vidseg_ros.errors import UserError
from vidseg_ros.networks import build, unroll
from vidseg_ros.networks.config import CellConfig, NetworkConfig, PropagationConfig
from vidseg_ros.networks.stgru import STGRU, STGRUConfig
from vidseg_ros.schema import from_dict

HEIGHT, WIDTH, CLASSES = 5, 6, 3


def field(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def unit(variant="paper", kernel=3, seed=0):
    """With weights of which each counts."""
    torch.manual_seed(seed)
    made = STGRU(CLASSES, STGRUConfig(kernel=kernel, variant=variant))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
        made.ir.weight.mul_(0.02)
    return made


def step(made, logits, frames, flow, state):
    with torch.no_grad():
        (result,), after = made(logits, lambda x: [x], frames, flow, state)
    return result, after


def read(plane, row, column):
    """Equation (1): the sum over the pixels around, each with its share; what is outside is zero."""
    total = 0.0
    for m in range(len(plane)):
        for n in range(len(plane[0])):
            total += plane[m][n] * max(0.0, 1 - abs(row - m)) * max(0.0, 1 - abs(column - n))
    return total


def convolve(weight, planes, row, column):
    """One output of a convolution that pads with zeros."""
    inset, total = len(weight[0]) // 2, 0.0
    for taps, plane in zip(weight, planes, strict=True):
        for i, line in enumerate(taps):
            for j, tap in enumerate(line):
                y, x = row + i - inset, column + j - inset
                if 0 <= y < HEIGHT and 0 <= x < WIDTH:
                    total += tap * plane[y][x]
    return total


def slow_step(made, logits, frame, flow, posterior, before, variant):
    """Equations (6) to (10), pixel by pixel; logits of the result."""
    pixels = [(i, j) for i in range(HEIGHT) for j in range(WIDTH)]
    planes = range(CLASSES)
    places = {(i, j): (i + flow[1][i][j], j + flow[0][i][j]) for i, j in pixels}

    def grid(value):
        return [[value(i, j) for j in range(WIDTH)] for i in range(HEIGHT)]

    def softmax(c, i, j):
        return math.exp(logits[c][i][j]) / sum(math.exp(logits[k][i][j]) for k in planes)

    x = [grid(lambda i, j, c=c: softmax(c, i, j) - 1 / CLASSES) for c in planes]
    centred = [grid(lambda i, j, c=c: posterior[c][i][j] - 1 / CLASSES) for c in planes]
    w = [grid(lambda i, j, c=c: read(centred[c], *places[i, j])) for c in planes]
    change = [grid(lambda i, j, k=k: frame[k][i][j] - read(before[k], *places[i, j])) for k in range(3)]
    ir, xh, hh, xz, hz = (getattr(made, name).weight.tolist() for name in ("ir", "xh", "hh", "xz", "hz"))
    r = grid(lambda i, j: 1 - math.tanh(abs(convolve(ir[0], change, i, j) + made.ir.bias.item())))
    rw = [grid(lambda i, j, c=c: r[i][j] * w[c][i][j]) for c in planes]
    old = rw if variant == "code" else w
    z = grid(
        lambda i, j: 1 / (1 + math.exp(-convolve(xz[0], x, i, j) - convolve(hz[0], old, i, j) - made.xz.bias.item()))
    )
    return [
        grid(
            lambda i, j, c=c: (
                made.scale.item() * (1 - z[i][j]) * old[c][i][j]
                + z[i][j] * (convolve(xh[c], x, i, j) + convolve(hh[c], rw, i, j))
            )
        )
        for c in planes
    ]


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_a_loop_says_the_same(variant):
    made = unit(variant)
    logits, posterior = field(1, CLASSES, HEIGHT, WIDTH), field(1, CLASSES, HEIGHT, WIDTH, seed=1).softmax(1)
    frame, before = (255 * torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    flow = 1.5 * field(1, 2, HEIGHT, WIDTH, seed=2)
    result, (after, picture) = step(made, logits, frame, flow, (posterior, before))
    expected = slow_step(made, *(t[0].tolist() for t in (logits, frame, flow, posterior, before)), variant)
    torch.testing.assert_close(result[0], torch.tensor(expected), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after, result.softmax(1))
    assert torch.equal(picture, frame)


def test_the_variants_differ():
    logits, flow = field(1, CLASSES, HEIGHT, WIDTH), torch.zeros(1, 2, HEIGHT, WIDTH)
    frame, state = (
        torch.full((1, 3, HEIGHT, WIDTH), 90.0),
        (logits.flip(1).softmax(1), torch.zeros(1, 3, HEIGHT, WIDTH)),
    )
    paper, code = (step(unit(kind), logits, frame, flow, state)[0] for kind in ("paper", "code"))
    assert (paper - code).abs().max() > 0.01


def test_first_weights_are_those_of_the_public_code():
    made = STGRU(11, STGRUConfig())
    assert sum(p.numel() for p in made.parameters()) == 2 * 11 * 11 * 49 + 2 * 11 * 49 + 3 * 49 + 2 + 1
    for convolution in (made.xh, made.hh):
        rest = convolution.weight.detach().clone()
        rest[:, :, 3, 3] -= 6 * torch.eye(11)
        assert rest.std().item() == pytest.approx(0.01, rel=0.1)
    assert made.ir.weight.std().item() == pytest.approx(0.001, rel=0.3)
    assert made.scale.item() == 2.0


def test_the_first_frame_is_that_of_the_network_alone():
    """Without a state, and with that before the first frame; flow says nothing then."""
    made, logits = unit(), field(2, CLASSES, HEIGHT, WIDTH)
    frame = torch.full((2, 3, HEIGHT, WIDTH), 255.0)
    alone, state = step(made, logits, frame, None, None)
    begun, after = step(made, logits, frame, torch.ones(2, 2, HEIGHT, WIDTH), made.initial_state(2, HEIGHT, WIDTH))
    assert torch.equal(alone, logits)
    assert torch.equal(begun, logits)
    for mine, other in zip(state, after, strict=True):
        assert torch.equal(mine, other)


def test_each_stream_of_a_batch_begins_when_it_does():
    made, logits = unit(), field(2, CLASSES, HEIGHT, WIDTH)
    frame, flow = torch.full((2, 3, HEIGHT, WIDTH), 9.0), torch.zeros(2, 2, HEIGHT, WIDTH)
    posterior, picture = made.initial_state(2, HEIGHT, WIDTH)
    posterior[1], picture[1] = field(CLASSES, HEIGHT, WIDTH, seed=3).softmax(0), 9.0
    result, _ = step(made, logits, frame, flow, (posterior, picture))
    assert torch.equal(result[0], logits[0])
    alone, _ = step(made, logits[1:], frame[1:], flow[1:], (posterior[1:], picture[1:]))
    torch.testing.assert_close(result[1:], alone)


def test_what_came_into_the_picture_has_no_past():
    """Flow that leads outside: as if nothing had been believed; and the gate shuts where pictures differ."""
    made, logits = unit("code"), field(1, CLASSES, HEIGHT, WIDTH)
    sure = 5 * field(1, CLASSES, HEIGHT, WIDTH, seed=3)
    frame = torch.full((1, 3, HEIGHT, WIDTH), 200.0)
    away = torch.full((1, 2, HEIGHT, WIDTH), 100.0)
    even = torch.full_like(logits, 1 / CLASSES)
    outside, _ = step(made, logits, frame, away, (sure.softmax(1), frame))
    nothing, _ = step(made, logits, frame, away, (even, frame))
    torch.testing.assert_close(outside, nothing)
    with torch.no_grad():
        made.ir.weight.fill_(1.0)
    other, _ = step(made, logits, frame, torch.zeros_like(away), (sure.softmax(1), torch.zeros_like(frame)))
    torch.testing.assert_close(other, nothing, atol=1e-5, rtol=1e-5)


def test_whole_flow_is_a_shift_of_the_state():
    made, logits = unit(), field(1, CLASSES, HEIGHT, WIDTH)
    posterior, before = field(1, CLASSES, HEIGHT, WIDTH, seed=4).softmax(1), torch.rand(1, 3, HEIGHT, WIDTH) * 255
    frame = before.roll(1, 3)
    flow = torch.tensor([-1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, HEIGHT, WIDTH)
    moved, _ = step(made, logits, frame, flow, (posterior, before))
    rolled = posterior.roll(1, 3), frame
    shifted, _ = step(made, logits, frame, torch.zeros_like(flow), rolled)
    torch.testing.assert_close(moved[..., 3:], shifted[..., 3:], atol=1e-4, rtol=1e-4)  # beyond the kernel of the edge


def with_unit(position=None, **settings):
    return build(replace(tiny_network(position).config, propagation=STGRUConfig(**settings))).eval()


@pytest.mark.parametrize("position", [None, "L1b", "L1a"])
def test_around_a_network(position):
    """Its state follows that of a cell; a step is one of unroll; the first frame is that of the network without it."""
    network = with_unit(position, kernel=3)
    names = ("hidden", "cell") if position else ()
    assert network.state_names == (*names, "posterior", "picture")
    clip = torch.randint(0, 256, (3, 1, 3, 45, 61), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    flow = 2 * field(3, 1, 2, 45, 61)
    with torch.no_grad():
        logits, after = unroll(network, clip, network.initial_state(1, 45, 61), flow)
        fresh, _ = unroll(network, clip, flow=flow)
        torch.testing.assert_close(fresh, logits)
        plain, _ = build(replace(network.config, propagation=None)).eval(), None
        plain.load_state_dict({k: v for k, v in network.state_dict().items() if not k.startswith("propagation")})
        torch.testing.assert_close(plain(clip[0])[0], logits[0])
        assert not torch.equal(unroll(plain, clip)[0][2], logits[2])
    assert [t.shape for t in after] == [t.shape for t in network.initial_state(1, 45, 61)]


def test_a_network_says_that_it_wants_the_flow():
    network = with_unit(kernel=3)
    frame = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    _, state = network(frame)
    with pytest.raises(UserError, match="network 'espnet' remembers along the optical flow; give it the flow"):
        network(frame, state)


def test_the_loss_at_the_end_teaches_the_unit_and_the_network():
    network = with_unit(kernel=3).train()
    clip = torch.randint(0, 256, (3, 2, 3, 32, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    logits, _ = unroll(network, clip, flow=torch.zeros(3, 2, 2, 32, 48))
    logits[-1].square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert all(p.grad.abs().sum() > 0 for p in network.propagation.parameters())


def test_configuration():
    assert from_dict(NetworkConfig, {"propagation": {"kernel": 3}}).propagation == STGRUConfig(kernel=3)
    assert from_dict(NetworkConfig, {"propagation": {"name": "gated_flow"}}).propagation.channels == 8
    assert not from_dict(NetworkConfig, {}).needs_flow
    assert from_dict(NetworkConfig, {"cell": {"warped": True}}).needs_flow
    for data, words in (
        ({"kernel": 4}, "propagation.kernel is 4; use an odd number"),
        ({"variant": "thesis"}, "propagation.variant is 'thesis'; use one of paper, code"),
        ({"name": "none"}, "propagation.name is 'none'; use one of stgru, gated_flow"),
        ({"channels": 3}, "'channels' is a field of gated_flow, not of stgru"),
    ):
        with pytest.raises(UserError, match=words):
            from_dict(PropagationConfig, data, "" if "channels" in data else "propagation.")


def test_a_warped_cell_follows_the_flow():
    """The same as rolling its state by hand; what comes in is fresh."""
    still = tiny_network("L1b", kernel=1)
    network = build(replace(still.config, cell=CellConfig("L1b", kernel=1, state_size=(8, 12), warped=True))).eval()
    network.load_state_dict(still.state_dict())
    torch.nn.init.normal_(network.cell.h0)
    torch.nn.init.normal_(network.cell.c0)
    frame = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    state = tuple(field(1, 11, 8, 12, seed=i) for i in range(2))
    flow = torch.tensor([8.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 64, 96)  # one pixel of the features
    rolled = [part.roll(-1, 3) for part in state]
    for part, first in zip(rolled, network.initial_state(1, 64, 96), strict=True):
        part[..., -1] = first[..., -1]
    with torch.no_grad():
        torch.testing.assert_close(network(frame, state, flow)[0], still(frame, tuple(rolled))[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(network(frame, state, flow * 0)[0], still(frame, state)[0], atol=1e-4, rtol=1e-4)

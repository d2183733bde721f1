from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from vidseg_ros.errors import UserError
from vidseg_ros.networks.config import CellConfig
from vidseg_ros.networks.convlstm import ConvLSTM
from vidseg_ros.networks.memory import Static

FORMULA = {"standard": 26_125, "depthwise": 1_501, "shared": 79}  # F2F supplement, C = D = 19, 3x3


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def make(convolution="standard", activation="prelu", channels=(19, 19), kernel=3, peephole="old"):
    torch.manual_seed(0)
    return ConvLSTM(*channels, CellConfig("L1a", kernel, convolution, activation, (2, 3), peephole))


@pytest.mark.parametrize(("convolution", "expected"), FORMULA.items())
def test_parameter_count_of_the_paper(convolution, expected):
    cell = make(convolution)
    learned_state = cell.h0.numel() + cell.c0.numel()
    assert parameters(cell) - learned_state - parameters(cell.activation) == expected
    assert parameters(cell.activation) == 1


def test_parameter_count_l1b():
    for kernel, expected in ((3, 188_233), (5, 522_633)):
        cell = make(channels=(256, 19), kernel=kernel)
        assert parameters(cell) - cell.h0.numel() - cell.c0.numel() - 1 == expected


@pytest.mark.parametrize("peephole", ["old", "new"])
def test_step_against_the_equations(peephole):
    """One step written out gate by gate, with a convolution per gate and a random state."""
    cell = make(channels=(5, 4), peephole=peephole)
    torch.manual_seed(1)
    torch.nn.init.normal_(cell.peephole)
    x, h, c = torch.randn(2, 5, 6, 7), torch.randn(2, 4, 6, 7), torch.randn(2, 4, 6, 7)
    weight, bias = cell.gates.convolution.weight, cell.gates.convolution.bias

    def gate(k):
        return functional.conv2d(torch.cat([x, h], 1), weight[4 * k : 4 * k + 4], bias[4 * k : 4 * k + 4], padding=1)

    def peep(k, seen):
        return cell.peephole[k].view(1, 4, 1, 1) * seen

    def act(y):
        return torch.where(y > 0, y, cell.activation.weight * y)

    i, f = (torch.sigmoid(gate(k) + peep(k, c)) for k in range(2))
    expected_c = f * c + i * act(gate(3))
    o = torch.sigmoid(gate(2) + peep(2, expected_c if peephole == "new" else c))
    expected_h = o * act(expected_c)
    new_h, (state_h, state_c) = cell(x, (h, c))
    torch.testing.assert_close(new_h, expected_h)
    torch.testing.assert_close(state_h, expected_h)
    torch.testing.assert_close(state_c, expected_c)


@pytest.mark.parametrize("convolution", ["depthwise", "shared"])
def test_cheap_convolutions_equal_a_standard_one_with_zeros(convolution):
    """A depthwise cell is a standard one whose weights across channels are zero."""
    cheap, full = make(convolution, channels=(4, 4)), make(channels=(4, 4))
    torch.nn.init.normal_(cheap.gates.convolution.bias)
    weight = cheap.gates.convolution.weight.view(*cheap.gates.shape, 2, 3, 3)
    bias = cheap.gates.convolution.bias.view(cheap.gates.shape)
    with torch.no_grad():
        full.gates.convolution.weight.zero_()
        for channel in range(4):
            for gate in range(4):
                row, source = gate * 4 + channel, channel % len(weight)
                full.gates.convolution.weight[row, channel] = weight[source, gate, 0]
                full.gates.convolution.weight[row, 4 + channel] = weight[source, gate, 1]
                full.gates.convolution.bias[row] = bias[source, gate]
    x, state = torch.randn(2, 4, 5, 6), (torch.randn(2, 4, 5, 6), torch.randn(2, 4, 5, 6))
    torch.testing.assert_close(cheap(x, state)[0], full(x, state)[0])


@pytest.mark.parametrize("convolution", FORMULA)
def test_initial_weights(convolution):
    cell = make(convolution)
    bias = cell.gates.convolution.bias.view(cell.gates.shape).movedim(cell.gates.gate_dim, 0)
    assert bias[1].eq(0.1).all()
    assert bias[[0, 2, 3]].eq(0).all()
    assert cell.peephole.eq(0.1).all()


def test_activations_differ_and_tanh_is_bounded():
    x = 50 * torch.randn(1, 19, 4, 4)
    outputs = {name: make(activation=name).eval()(x)[0] for name in ("prelu", "tanh", "leaky_relu")}
    assert outputs["tanh"].abs().max() <= 1
    assert not torch.allclose(outputs["prelu"], outputs["leaky_relu"])


def test_initial_state_is_learned_and_resized():
    cell = make(channels=(3, 2))
    torch.nn.init.normal_(cell.h0)
    h, _ = cell.initial_state(2, 5, 7)
    assert h.shape == (2, 2, 5, 7)
    torch.testing.assert_close(h[0, :, 0, 0], cell.h0[:, 0, 0])  # corners are aligned
    torch.testing.assert_close(h[1, :, -1, -1], cell.h0[:, -1, -1])
    cell(torch.randn(1, 3, 5, 7))[0].sum().backward()
    assert cell.h0.grad.abs().sum() > 0


def test_depthwise_needs_equal_channels():
    with pytest.raises(UserError, match="256 and 11"):
        make("depthwise", channels=(256, 11))


@pytest.mark.parametrize("convolution", FORMULA)
def test_a_cell_can_begin_as_what_it_replaces(convolution):
    """A constant input ends near the static output, and approaches it as an exponential average does."""
    cell = make(convolution, channels=(6, 6), kernel=5)
    torch.manual_seed(2)
    weight = torch.randn(6, 6, 1, 1) if convolution == "standard" else torch.eye(6)[..., None, None]
    cell.init_from_convolution(Static(weight, input_size=0.5, output_size=3.0))
    x, state = torch.randn(1, 6, 9, 11), None
    static, errors = functional.conv2d(x, weight), []
    with torch.no_grad():
        for gate in range(3):
            cell.gates.of_gate(gate).zero_()
        for _ in range(5):
            h, state = cell(x, state)
            errors.append((h - static).abs().max().item())
    keep = torch.sigmoid(torch.tensor(-1.0)).item()
    for before, after in pairwise(errors):
        assert after == pytest.approx(keep * before, rel=0.02)


def test_gates_are_found_in_every_layout():
    """Setting the candidate alone changes the candidate alone."""
    for convolution in FORMULA:
        cell = make(convolution, channels=(3, 3))
        x, h = torch.randn(1, 3, 4, 5), torch.randn(1, 3, 4, 5)
        before = cell.gates(x, h)
        with torch.no_grad():
            cell.gates.of_gate(3).zero_()
        after = cell.gates(x, h)
        for gate in range(3):
            torch.testing.assert_close(after[gate], before[gate])
        assert (after[3] == 0).all()
        assert (before[3] != 0).any()

import pytest
import torch

from vidseg_ros.errors import UserError
from vidseg_ros.networks import build, unroll
from vidseg_ros.networks.config import CellConfig, NetworkConfig

CELL = CellConfig("last", state_size=(8, 12))


def make(cell=None, seed=0):
    torch.manual_seed(seed)
    return build(NetworkConfig("ssnet", classes=5, cell=cell)).eval()


def test_parameters():
    """3 -> 64, four times 64 -> 64, 64 -> C, all 3x3; batch norm and PReLU add three a channel."""
    body = 9 * 64 * (3 + 4 * 64) + 5 * 3 * 64
    assert sum(p.numel() for p in make().parameters()) == body + 9 * 64 * 5 + 5
    cell = make(CELL).cell
    learned_state = cell.h0.numel() + cell.c0.numel()
    assert sum(p.numel() for p in make(CELL).parameters()) == body + 4 * 69 * 9 * 5 + 7 * 5 + 1 + learned_state


@pytest.mark.parametrize("cell", [None, CELL])
def test_every_parameter_learns(cell):
    network = make(cell).train()
    logits, state = unroll(network, torch.rand(2, 1, 3, 24, 32) * 255)
    assert logits.shape == (2, 1, 5, 24, 32)
    assert len(state) == (2 if cell else 0)
    logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_a_pixel_sees_a_window_of_29():
    """1 + 2 (1 + 1 + 2 + 2 + 4 + 4) pixels a side."""
    network, frame = make(), torch.zeros(1, 3, 41, 41, requires_grad=True)
    network(frame)[0][0, :, 20, 20].sum().backward()
    rows, columns = frame.grad[0].abs().sum(0).nonzero(as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (6, 34, 6, 34)


def test_memory():
    network = make(CELL)
    frame = torch.rand(1, 3, 16, 24) * 255
    first, state = network(frame)
    assert not torch.allclose(network(frame, state)[0], first)
    torch.testing.assert_close(network(frame, network.initial_state(1, 16, 24))[0], first)


def test_cell_positions_belong_to_networks():
    with pytest.raises(UserError, match=r"cell\.position is 'L1b'; use one of last"):
        make(CellConfig("L1b"))
    with pytest.raises(UserError, match=r"cell\.position is 'last'; use one of L1a, L1b, L1c, L1d"):
        build(NetworkConfig("espnet", cell=CELL))

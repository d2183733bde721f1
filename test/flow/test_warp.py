"""Warping and flow: identities, shifts, a second implementation, gradients."""

import cv2
import numpy as np
import pytest
import torch

from vidseg_ros.errors import UserError
from vidseg_ros.flow.estimator import DISFlow, FlowConfig
from vidseg_ros.flow.motion import Motion, follow
from vidseg_ros.flow.warp import inside, reduce_flow, warp


def field(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def constant_flow(dx, dy, height=9, width=12):
    return torch.tensor([dx, dy], dtype=torch.float32).view(1, 2, 1, 1).expand(1, 2, height, width)


def test_no_flow_is_the_identity():
    x = field(2, 3, 9, 12)
    torch.testing.assert_close(warp(x, torch.zeros(2, 2, 9, 12)), x)
    assert inside(torch.zeros(1, 2, 9, 12)).all()


@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (0, 2), (-3, 1)])
def test_a_whole_number_is_a_shift(dx, dy):
    x = field(1, 2, 9, 12)
    rows = (np.arange(9) + dy).clip(0, 8)
    columns = (np.arange(12) + dx).clip(0, 11)
    torch.testing.assert_close(warp(x, constant_flow(dx, dy)), x[:, :, rows][:, :, :, columns])
    shown = inside(constant_flow(dx, dy))[0, 0].numpy()
    np.testing.assert_array_equal(shown, np.outer(np.arange(9) + dy == rows, np.arange(12) + dx == columns))


def read_between(plane, row, column):
    """The value of a plane between its pixels."""
    row, column = min(max(row, 0), plane.shape[0] - 1), min(max(column, 0), plane.shape[1] - 1)
    top, left = min(int(row), plane.shape[0] - 2), min(int(column), plane.shape[1] - 2)
    across, corner = column - left, plane[top : top + 2, left : left + 2]
    upper, lower = (1 - across) * corner[:, 0] + across * corner[:, 1]
    return upper + (row - top) * (lower - upper)


def test_a_loop_says_the_same():
    x, flow = field(1, 1, 5, 7), 2 * field(1, 2, 5, 7, seed=1)
    expected = torch.empty(5, 7)
    for row in range(5):
        for column in range(7):
            dx, dy = flow[0, :, row, column].tolist()
            expected[row, column] = read_between(x[0, 0], row + dy, column + dx)
    torch.testing.assert_close(warp(x, flow)[0, 0], expected, atol=1e-5, rtol=1e-5)


def test_gradients():
    """In float64 by hand: the sampling itself runs in float32."""
    x, flow = field(1, 1, 5, 6).requires_grad_(), (0.3 * field(1, 2, 5, 6, seed=1)).requires_grad_()
    weight = field(1, 1, 5, 6, seed=2)
    (warp(x, flow) * weight).sum().backward()
    for tensor in (x, flow):
        for index in [(0, 0, 2, 3), (0, tensor.shape[1] - 1, 1, 4)]:
            moved = []
            for step in (1e-2, -1e-2):
                other = tensor.detach().clone()
                other[index] += step
                pair = (other, flow.detach()) if tensor is x else (x.detach(), other)
                moved.append((warp(*pair) * weight).sum().item())
            assert (moved[0] - moved[1]) / 2e-2 == pytest.approx(tensor.grad[index].item(), abs=2e-3)


def test_half_precision_addresses_pixels():
    x = torch.arange(500, dtype=torch.float32).view(1, 1, 1, 500).expand(1, 1, 4, 500)
    moved = warp(x.to(torch.bfloat16), constant_flow(1, 0, 4, 500).to(torch.bfloat16))
    torch.testing.assert_close(moved[..., :-1], x.to(torch.bfloat16).float()[..., 1:])


def test_reduced_flow_counts_reduced_pixels():
    flow = constant_flow(4, -2, 9, 13)
    assert torch.equal(reduce_flow(flow, 2), constant_flow(2, -1, 5, 7))
    assert reduce_flow(flow, 1) is flow


def textured(height=96, width=128, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 3) * 4


@pytest.mark.parametrize("config", [FlowConfig(), FlowConfig("fast"), FlowConfig("medium", 2)])
def test_flow_finds_a_shift(config):
    """What moved 3 to the right and 2 down lies there in the second picture."""
    first = textured()
    second = np.roll(first, (2, 3), (0, 1))
    flow = DISFlow(config)(first, second)
    assert (flow.shape, flow.dtype) == ((2, 96, 128), np.float32)
    assert np.median(flow[0, 20:-20, 20:-20]) == pytest.approx(3, abs=0.5)
    assert np.median(flow[1, 20:-20, 20:-20]) == pytest.approx(2, abs=0.5)


def test_flow_of_what_says_nothing():
    """Black or identical frames, and frames too small to search."""
    black = np.zeros((96, 128, 3), np.uint8)
    assert not DISFlow()(black, black).any()
    assert np.abs(DISFlow()(textured(), textured())).max() < 1e-3
    assert DISFlow()(black[:10], black[:10]).shape == (2, 10, 128)


def test_bad_settings_are_named():
    for settings, words in (({"preset": "slow"}, "flow.preset is 'slow'"), ({"reduction": 0}, "flow.reduction is 0")):
        with pytest.raises(UserError, match=words):
            FlowConfig(**settings)


def test_labels_agree_along_the_flow():
    now = torch.arange(12, dtype=torch.uint8).view(3, 4)
    flow = torch.tensor([1.0, 0.0]).view(2, 1, 1).expand(2, 3, 4)
    other = now.roll(1, 1)  # everything moved one to the right
    assert torch.equal(follow(other, flow)[:, :3], now[:, :3])
    assert Motion(flow, torch.ones(3, 4, dtype=torch.bool)).agree(now, other)[:, :3].all()

"""The average along the flow, by hand."""

import math

import pytest
import torch

from vidseg_ros.networks.flow_memory import FlowMemory, FlowMemoryConfig, tearing

PLAIN = FlowMemoryConfig(gain=0.5, decay=0.1, sharpening=0.0)


def picture(value, height=4, width=6, channels=3):
    return torch.full((1, channels, height, width), float(value))


def test_the_first_frame_has_no_past():
    memory, x = FlowMemory(2, 1, PLAIN), torch.randn(1, 2, 4, 6)
    kept, (posterior, seen) = memory(x, picture(255), torch.zeros(1, 2, 4, 6), memory.initial_state(1, 4, 6))
    assert torch.equal(kept, x)
    assert torch.equal(posterior, x)
    torch.testing.assert_close(seen, picture(255, channels=1))


@pytest.mark.parametrize("difference", [0, 10, 100])
def test_what_is_kept_falls_with_the_difference_of_the_pictures(difference):
    memory = FlowMemory(1, 1, PLAIN)
    old, new = torch.full((1, 1, 4, 6), 8.0), torch.zeros(1, 1, 4, 6)
    seen, seen_before = picture(100), picture(100, channels=1)
    seen[..., :3] += difference  # one half brighter, the other darker: in the mean as before
    seen[..., 3:] -= difference
    kept, _ = memory(new, seen, torch.zeros(1, 2, 4, 6), (old, seen_before))
    torch.testing.assert_close(kept, old * 0.5 * math.exp(-0.1 * difference))


@pytest.mark.parametrize(("exposure", "left"), [(0.5, 0), (0.8, 0), (2.0, 0), (2.2, 20), (0.25, 25)])
def test_exposure_is_no_change(exposure, left):
    """Up to a factor of two; from there on, what is left counts."""
    memory, old = FlowMemory(1, 1, PLAIN), torch.full((2, 1, 4, 6), 8.0)
    before = torch.stack([picture(100, channels=1)[0], picture(7, channels=1)[0]])
    seen = torch.stack([picture(100 * exposure)[0], picture(7)[0]])  # each frame of a batch by itself
    kept, _ = memory(torch.zeros_like(old), seen, torch.zeros(2, 2, 4, 6), (old, before))
    expected = 4 * torch.exp(torch.tensor([-0.1 * left, 0.0])).view(2, 1, 1, 1).expand_as(old)
    torch.testing.assert_close(kept, expected)


def test_a_black_picture_is_compared_as_it_is():
    memory, old = FlowMemory(1, 1, PLAIN), torch.full((1, 1, 4, 6), 8.0)
    kept, _ = memory(torch.zeros_like(old), picture(50), torch.zeros(1, 2, 4, 6), (old, picture(0, channels=1)))
    torch.testing.assert_close(kept, old * 0.5 * math.exp(-0.1 * 50))


def test_the_past_moves_with_the_flow_and_what_comes_into_the_picture_has_none():
    memory = FlowMemory(1, 1, PLAIN)
    old, new = torch.arange(6.0).expand(1, 1, 4, 6), torch.zeros(1, 1, 4, 6)
    flow = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 4, 6)
    kept, _ = memory(new, picture(0), flow, (old, picture(0, channels=1)))
    torch.testing.assert_close(kept[0, 0, 0], torch.tensor([0.5, 1.0, 1.5, 2.0, 2.5, 0.0]))


def test_little_is_kept_where_the_flow_tears():
    memory = FlowMemory(1, 1, FlowMemoryConfig(gain=0.5, decay=0.0, tear=2.0, sharpening=0.0))
    flow = torch.zeros(1, 2, 4, 20)
    flow[:, :, :, 10:] = torch.tensor([-3.0, 4.0])[:, None, None]  # seven pixels from column 9 to 10
    flow[:, :, 2:] = 0  # and from row 1 to 2
    assert torch.equal(tearing(flow)[0, 0, 0, 5:], torch.tensor([0.0, 0, *[7.0] * 13]))
    kept, _ = memory(
        torch.zeros(1, 1, 4, 20),
        picture(0, width=20),
        flow,
        (torch.ones(1, 1, 4, 20), picture(0, width=20, channels=1)),
    )
    torch.testing.assert_close(kept[0, 0, 3, :8], torch.tensor([0.5] * 7 + [0.5 * math.exp(-3.5)]))


def test_an_even_flow_tears_nowhere():
    assert not tearing(torch.full((2, 2, 3, 4), 7.0)).any()


def test_features_smaller_than_the_frame():
    memory = FlowMemory(1, 2, PLAIN)
    state = memory.initial_state(1, 5, 7)
    assert [tuple(t.shape) for t in state] == [(1, 1, 3, 4), (1, 1, 3, 4)]
    frames = torch.rand(1, 3, 5, 7)
    kept, (_, seen) = memory(torch.zeros(1, 1, 3, 4), frames, torch.zeros(1, 2, 5, 7), state)
    assert (kept.shape, seen.shape) == ((1, 1, 3, 4), (1, 1, 3, 4))
    torch.testing.assert_close(seen[0, 0, 0, 0], frames[0, :, :2, :2].mean())
    torch.testing.assert_close(seen[0, 0, 2, 3], frames[0, :, 4, 6].mean())  # alone in its square


def test_sharpening_leaves_what_is_even():
    memory = FlowMemory(1, 1, FlowMemoryConfig(gain=1.0, decay=0.0, sharpening=0.7))
    even = torch.full((1, 1, 4, 6), 3.0)
    kept, _ = memory(torch.zeros_like(even), picture(0), torch.zeros(1, 2, 4, 6), (even, picture(0, channels=1)))
    torch.testing.assert_close(kept, even)

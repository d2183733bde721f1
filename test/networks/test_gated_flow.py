"""The learned gate: it begins as the training-free one, and can open and shut for single pixels."""

from dataclasses import replace

import pytest
import torch

from test.conftest import tiny_network
from vidseg_ros.checkpoints.checkpoint import InferenceConfig
from vidseg_ros.engines.step import InferenceStep
from vidseg_ros.networks import build, unroll
from vidseg_ros.networks.flow_memory import FlowMemoryConfig
from vidseg_ros.networks.gated_flow import LEAST, GatedFlow, GatedFlowConfig
from vidseg_ros.networks.ssnet import SSNetConfig


def clip(*shape, seed=0):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def smooth(length, height, width):
    """Frames that hardly differ, so that the past counts."""
    first = clip(1, 1, 3, height, width)
    return torch.cat([first.clamp(max=250) + i for i in range(length)])


def flows(length, height, width):
    return torch.randn(length, 1, 2, height, width, generator=torch.Generator().manual_seed(1))


def gated(config=None, memory=None):
    torch.manual_seed(0)
    return build(
        replace(config or tiny_network(None).config, propagation=GatedFlowConfig(flow_memory=memory or MEMORY))
    ).eval()


MEMORY = FlowMemoryConfig()


@pytest.mark.parametrize("size", [(64, 96), (45, 61)])
@pytest.mark.parametrize("config", [None, SSNetConfig()])
def test_it_begins_as_the_memory_without_training(config, size):
    """Up to LEAST, in the labels and the state; both forms of the logits."""
    network = gated(config, MEMORY)
    mine = InferenceStep(network)
    plain = InferenceStep(network, inference=InferenceConfig(memory="flow", flow_memory=MEMORY))
    assert mine.state_names == plain.state_names == ("posterior", "picture")
    frames, flow = smooth(3, *size), flows(3, *size)
    state, other = mine.initial_state(*size), plain.initial_state(*size)
    with torch.no_grad():
        whole, _ = unroll(network, frames, flow=flow)
        for number in range(3):
            rgb = frames[number].permute(0, 2, 3, 1)
            labels, *state = mine(rgb, flow[number], *state)
            expected, *other = plain(rgb, flow[number], *other)
            assert (labels == expected).float().mean() > 0.999
            assert (labels == whole[number].argmax(1)).float().mean() > 0.999
            for a, b in zip(state, other, strict=True):
                assert (a - b).abs().max() <= 2 * LEAST * max(1, b.abs().max())
        static, _ = network(frames[-1])
    assert not torch.equal(static, whole[-1])


def test_the_first_frame_is_that_of_the_network_alone():
    network, frame = gated(memory=FlowMemoryConfig(decay=0.0)), clip(1, 3, 45, 61)
    with torch.no_grad():
        alone, state = network(frame)
        begun, after = network(frame, network.initial_state(1, 45, 61), flows(1, 45, 61)[0])
    assert torch.equal(alone, begun)
    for mine, other in zip(state, after, strict=True):
        assert torch.equal(mine, other)


def test_the_gate_decides_for_each_pixel_of_the_output():
    """Shut for one pixel of each square of 2x2: that pixel is as without a past, its neighbours are not."""
    memory = GatedFlow(4, 2, GatedFlowConfig(flow_memory=MEMORY))
    with torch.no_grad():
        memory.gate[-1].bias.copy_(torch.tensor([-50.0, 0.0, 0.0, 0.0]))
        seen, frames = torch.randn(1, 4, 6, 8), clip(1, 3, 12, 16).float()
        state = torch.randn(1, 4, 6, 8), torch.nn.functional.avg_pool2d(frames.mean(1, keepdim=True), 2)
        flow = torch.zeros(1, 2, 12, 16)

        def whole(x):
            return [x.repeat_interleave(2, 2).repeat_interleave(2, 3)]

        (logits,), (kept, _) = memory(seen, whole, frames, flow, state)
        planes, _ = memory(seen, lambda x: [x, x, x, x], frames, flow, state)
    (static,) = whole(seen)
    same = (logits - static).abs().amax(1)[0] < 1e-6
    assert same[::2, ::2].all()
    assert not same[1::2].any()
    assert not same[:, 1::2].any()
    for number, plane in enumerate(planes):
        torch.testing.assert_close(plane, logits[:, :, number // 2 :: 2, number % 2 :: 2])
    torch.testing.assert_close(kept, torch.stack(planes).mean(0))


def test_what_is_outside_and_what_differs_has_no_past_whatever_the_gate_says():
    memory = GatedFlow(4, 1, GatedFlowConfig(flow_memory=MEMORY))
    with torch.no_grad():
        memory.gate[-1].bias.fill_(50.0)
        seen, frames = torch.randn(1, 4, 6, 8), clip(1, 3, 6, 8).float()
        flow = torch.tensor([3.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 6, 8)
        (logits,), _ = memory(
            seen, lambda x: [x], frames, flow, (torch.randn(1, 4, 6, 8), frames.roll(3, 3).mean(1, keepdim=True))
        )
    assert torch.equal(logits[..., -3:], seen[..., -3:])
    assert not torch.isclose(logits[..., :-3], seen[..., :-3]).all()


def test_it_learns():
    network = gated(memory=MEMORY).train()
    network.requires_grad_(False)
    network.propagation.requires_grad_(True)
    torch.nn.init.normal_(network.propagation.gate[-1].weight, std=0.1)
    logits, _ = unroll(network, smooth(3, 32, 48), flow=torch.zeros(3, 1, 2, 32, 48))
    logits[-1].square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.propagation.parameters())

import pytest
import torch

from vidseg_ros.errors import UserError
from vidseg_ros.networks import build, espnet, unroll
from vidseg_ros.networks.config import ACTIVATIONS, CellConfig, InputConfig, NetworkConfig

POSITIONS = [None, *espnet.POSITIONS]


def make(position="L1b", classes=11, **cell):
    torch.manual_seed(0)
    memory = CellConfig(position, **{"state_size": (4, 6)} | cell) if position else None
    return build(NetworkConfig(classes=classes, p=1, q=1, cell=memory)).eval()


def frames(*shape, seed=1):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_parameter_totals_for_19_classes():
    assert parameters(build(NetworkConfig(classes=19))) == 201_029
    network = build(NetworkConfig(classes=19, cell=CellConfig("L1b", 5)))
    assert parameters(network) - network.cell.h0.numel() - network.cell.c0.numel() == 718_799


@pytest.mark.parametrize(("height", "width"), [(32, 48), (37, 51), (33, 40), (16, 17)])
@pytest.mark.parametrize("position", POSITIONS)
def test_any_size_and_batch(position, height, width):
    network = make(position)
    logits, state = network(frames(3, 3, height, width))
    assert logits.shape == (3, 11, height, width)
    assert [t.shape for t in state] == [t.shape for t in network.initial_state(3, height, width)]
    assert len(state) == (2 if position else 0)


@pytest.mark.parametrize("position", POSITIONS)
def test_steps_equal_unroll(position):
    network, clip = make(position), frames(4, 2, 3, 33, 47)
    logits, last = unroll(network, clip)
    state = None
    for frame, expected in zip(clip, logits, strict=True):
        output, state = network(frame, state)
        torch.testing.assert_close(output, expected)
    for mine, theirs in zip(state, last, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("position", POSITIONS)
def test_no_state_is_a_fresh_start_and_memory_matters(position):
    network, (first, second) = make(position), frames(2, 1, 3, 32, 48)
    for state in network.initial_state(1, 1, 1) and (network.cell.h0, network.cell.c0):
        torch.nn.init.normal_(state)
    fresh, _ = network(second)
    torch.testing.assert_close(network(second, network.initial_state(1, 32, 48))[0], fresh)
    remembering, _ = network(second, network(first)[1])
    assert torch.equal(remembering, fresh) == (position is None)


@pytest.mark.parametrize("position", POSITIONS)
def test_batch_members_do_not_mix(position):
    network, clip = make(position), frames(2, 2, 3, 32, 48)
    together, _ = unroll(network, clip)
    alone, _ = unroll(network, clip[:, 1:])
    torch.testing.assert_close(together[:, 1:], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    network, clip = make(), frames(3, 1, 3, 32, 48)
    exact, _ = unroll(network, clip)
    rough, state = unroll(network.to(dtype), clip)
    assert rough.dtype == state[0].dtype == dtype
    assert (rough.argmax(2) == exact.argmax(2)).float().mean() > 0.9


@pytest.mark.parametrize("position", POSITIONS)
def test_gradients_reach_every_parameter(position):
    network = make(position).train()
    logits, _ = unroll(network, frames(2, 2, 3, 32, 48))
    logits.square().mean().backward()
    lost = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert lost == []


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("convolution", ["standard", "depthwise", "shared"])
def test_l1a_variants_run(activation, convolution):
    logits, _ = unroll(make("L1a", convolution=convolution, activation=activation), frames(3, 1, 3, 32, 48))
    assert logits.isfinite().all()


def test_normalisation_and_channel_order():
    rgb = frames(1, 3, 2, 2)
    config = InputConfig(channel_order="bgr", mean=(1, 2, 3), std=(2, 4, 8), scale=0.5)
    network = build(NetworkConfig(p=0, q=0, input=config))
    blue = network.normalize(rgb)[0, 0]
    torch.testing.assert_close(blue, (rgb[0, 2].float() - 1) / 2 * 0.5)


def test_wide_decoder_drops_the_extra_outputs():
    network = build(NetworkConfig(classes=11, decoder_channels=12))
    assert network.up_half.weight.shape == (12, 11, 2, 2)


def test_unknown_network_names_the_known_ones():
    with pytest.raises(UserError, match="'resnet'; use one of espnet"):
        build(NetworkConfig(name="resnet"))

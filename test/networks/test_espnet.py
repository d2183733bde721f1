import pytest
import torch

from test.networks.tester import StreamingNetworkTester, frames
from vidseg_ros.errors import UserError
from vidseg_ros.networks import build, unroll
from vidseg_ros.networks.config import ACTIVATIONS, CellConfig, InputConfig, NetworkConfig
from vidseg_ros.networks.espnet import ESPNetConfig
from vidseg_ros.schema import from_dict


class TestESPNet(StreamingNetworkTester):
    config = ESPNetConfig(classes=5, p=1, q=1)
    parameters = 201_029

    def test_parameters_are_those_of_the_paper(self):
        assert sum(p.numel() for p in build(ESPNetConfig(classes=19)).parameters()) == self.parameters
        network = build(ESPNetConfig(classes=19, cell=CellConfig("L1b", 5)))
        learned = network.cell.h0.numel() + network.cell.c0.numel()
        assert sum(p.numel() for p in network.parameters()) - learned == 718_799

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision(self, dtype):
        network, clip = self.make("L1b"), frames(3, 1, 3, 32, 48)
        exact, _ = unroll(network, clip)
        rough, state = unroll(network.to(dtype), clip)
        assert rough.dtype == state[0].dtype == dtype
        assert (rough.argmax(2) == exact.argmax(2)).float().mean() > 0.9

    @pytest.mark.parametrize("activation", ACTIVATIONS)
    @pytest.mark.parametrize("convolution", ["standard", "depthwise", "shared"])
    def test_l1a_variants_run(self, activation, convolution):
        network = self.make("L1a", convolution=convolution, activation=activation)
        assert unroll(network, frames(3, 1, 3, 32, 48))[0].isfinite().all()


def test_normalisation_and_channel_order():
    rgb = frames(1, 3, 2, 2)
    config = InputConfig(channel_order="bgr", mean=(1, 2, 3), std=(2, 4, 8), scale=0.5)
    network = build(ESPNetConfig(p=0, q=0, input=config))
    blue = network.normalize(rgb)[0, 0]
    torch.testing.assert_close(blue, (rgb[0, 2].float() - 1) / 2 * 0.5)


def test_wide_decoder_drops_the_extra_outputs():
    network = build(ESPNetConfig(classes=11, decoder_channels=12))
    assert network.head.weight.shape == (12, 11, 2, 2)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"name": "resnet"}, "name is 'resnet'; use one of cfpnet, dabnet, espnet"),
        ({"name": "fddwnet", "p": 2}, "'p' is a field of espnet, not of fddwnet; take it out"),
        ({"name": "fddwnet", "qq": 2}, "unknown key 'qq'; did you mean"),
    ],
)
def test_a_family_has_its_own_fields(data, problem):
    with pytest.raises(UserError, match=problem):
        from_dict(NetworkConfig, data)

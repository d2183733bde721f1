"""PSPNet on its three backbones, and the backbones against those of transformers."""

import pytest
import torch

from test.networks.tester import StreamingNetworkTester, frames
from vidseg_ros.benchmark import multiply_adds_of
from vidseg_ros.checkpoints.releases import HUGGING_FACE_MOBILENETV2, HUGGING_FACE_RESNET, rename_all
from vidseg_ros.errors import UserError
from vidseg_ros.networks import build, unroll
from vidseg_ros.networks.mobilenetv2 import MobileNetV2
from vidseg_ros.networks.pspnet import PSPNetConfig
from vidseg_ros.networks.resnet import ResNet, basic, bottleneck

CITYSCAPES = (2048, 1024)


class TestPSPNet18(StreamingNetworkTester):
    config = PSPNetConfig(classes=5)
    parameters = 13_217_254  # 13.2 M (ETC paper, table 4)
    positions = ("deep",)


class TestPSPNetMobileNetV2(StreamingNetworkTester):
    config = PSPNetConfig(classes=5, backbone="mobilenetv2")
    parameters = 3_164_326  # 3.2 M
    positions = ("deep",)


def on_paper(**fields):
    """The network for Cityscapes, without memory for its weights."""
    with torch.device("meta"):
        return build(PSPNetConfig(classes=19, **fields)).eval()


def millions(network):
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


def test_published_sizes():
    """Those of the ETC paper count the auxiliary head, but not for SKD (Liu et al. 2019), whose channels it halves.

    It gives no multiply-adds. HRNet's paper has 2017.6 (in units of 2^30) for another build of PSPNet-101, of 65.9 M.
    """
    large = on_paper(backbone="resnet101")
    assert round(millions(large), 1) == 68.1
    large.auxiliary = None
    assert round(millions(large), 1) == 65.7
    assert multiply_adds_of(large, CITYSCAPES) * 1e9 / 2**30 == pytest.approx(2017.6, rel=0.04)
    double = on_paper(pooled_channels=256, head_channels=256)
    double.auxiliary = None
    assert round(millions(double), 1) == 15.2  # SKD-R18 in table 4


@torch.no_grad()
def test_the_deep_stem_and_bottlenecks_fold():
    torch.manual_seed(0)
    network, clip = build(PSPNetConfig(classes=5, backbone="resnet101")).eval(), frames(1, 1, 3, 33, 47)
    expected, folded = unroll(network, clip)[0], unroll(network.for_inference(), clip)[0]
    assert (expected - folded).abs().max() < 1e-4 * expected.abs().max()


def test_one_frame_cannot_be_normalised_over_the_batch():
    network = build(PSPNetConfig(classes=5, backbone="mobilenetv2"))
    with pytest.raises(UserError, match="batch: 2 or more"):
        network.train()(frames(1, 3, 33, 47))
    network.pooling.eval()
    network(frames(1, 3, 33, 47))


@pytest.mark.parametrize("fields", [{"backbone": "vgg"}, {"pooled_channels": -1}, {"head_channels": -1}])
def test_bad_configurations(fields):
    with pytest.raises(UserError, match=next(iter(fields))):
        PSPNetConfig(**fields)


def statistics(model):
    """Random statistics, as of a trained network."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.normal_(module.running_mean, std=0.1)
    return model.eval()


def dilate(stage, dilation):
    """Make a stage of transformers' ResNet keep the size, as PSPNet does."""
    for layer in stage.layers:
        for conv in layer.modules():
            if isinstance(conv, torch.nn.Conv2d):
                conv.stride = (1, 1)
        middle = layer.layer[1].convolution
        middle.dilation = middle.padding = (dilation, dilation)


def filled(mine, theirs, renames):
    tensors = {key.removeprefix("encoder."): value for key, value in rename_all(theirs.state_dict(), renames).items()}
    unused = [key for key in tensors if not key.startswith(("stem.", "stages."))]
    mine.load_state_dict({key: value for key, value in tensors.items() if key not in unused})
    return mine.eval(), unused


@pytest.mark.parametrize("block", [basic, bottleneck])
@torch.no_grad()
def test_resnet_is_that_of_transformers(block):
    transformers = pytest.importorskip("transformers")
    depths, wide = (2, 1, 2, 1), 4 if block is bottleneck else 1
    config = transformers.ResNetConfig(
        depths=depths, hidden_sizes=[wide * width for width in (64, 128, 256, 512)], layer_type=block.__name__
    )
    theirs = statistics(transformers.ResNetModel(config))
    dilate(theirs.encoder.stages[2], 2)
    dilate(theirs.encoder.stages[3], 4)
    mine, unused = filled(ResNet(block, depths), theirs, HUGGING_FACE_RESNET)
    assert unused == []
    x = torch.randn(2, 3, 45, 61)
    expected = theirs(x, output_hidden_states=True).hidden_states
    for got, wanted in zip(mine(x), expected[-2:], strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_mobilenetv2_is_that_of_transformers():
    """Theirs can pad as ours, instead of as TensorFlow."""
    transformers = pytest.importorskip("transformers")
    config = transformers.MobileNetV2Config(output_stride=8, tf_padding=False, layer_norm_eps=1e-5)
    theirs = statistics(transformers.MobileNetV2Model(config))
    mine, unused = filled(MobileNetV2(), theirs, HUGGING_FACE_MOBILENETV2)
    assert all(key.startswith("conv_1x1.") for key in unused)
    x = torch.randn(2, 3, 45, 61)
    expected = theirs(x, output_hidden_states=True).hidden_states
    for got, wanted in zip(mine(x), (expected[-5], expected[-1]), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)

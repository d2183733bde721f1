"""The same networks for inference: batch norms folded away and fewer passes over memory, equal but for rounding."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from vidseg_ros.networks.blocks import NormPReLU
from vidseg_ros.networks.convlstm import ConvLSTM, StandardGates
from vidseg_ros.networks.espnet import LEVEL1, Encoder, ESPNet
from vidseg_ros.networks.streaming import StreamingNetwork

RGB = 3
NOTHING = 1e-12  # a scale that weight decay has ended


class ScaledPReLU(nn.Module):
    """PReLU(scale * x + shift), per channel; with neither, a PReLU."""

    def __init__(self, slope: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> None:
        super().__init__()
        for name, value in (("slope", slope), ("scale", scale), ("shift", shift)):
            self.register_buffer(name, None if value is None else value.detach().clone().view(-1, 1, 1))
        self.convex = bool((slope <= 1).all())

    def forward(self, x: Tensor) -> Tensor:
        if self.scale is not None:
            x = torch.addcmul(self.get_buffer("shift"), x, self.get_buffer("scale"))
        slope = self.get_buffer("slope")
        # runtimes fuse this with what stands before it, which they do not do with a PReLU
        return torch.maximum(x, slope * x) if self.convex else x.clamp(min=0) + slope * x.clamp(max=0)


class FoldedEncoder(nn.Module):
    """``Encoder`` whose first pooling of the frame is three more channels of its first convolution."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        convolution, norm = encoder.level1
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, NormPReLU)
        weight, bias = _into(convolution.weight, norm.norm, 0)
        first = nn.Conv2d(RGB, LEVEL1 + RGB, 3, 2, 1)
        with torch.no_grad():
            mean = torch.eye(RGB)[..., None, None].expand(-1, -1, 3, 3) / 9
            first.weight.copy_(torch.cat([weight, mean]))
            assert first.bias is not None
            first.bias.copy_(torch.cat([bias, torch.zeros(RGB)]))
            self.first = nn.Sequential(first, ScaledPReLU(torch.cat([norm.slope, torch.ones(RGB)])))
        self.skip_rgb, self.pool = encoder.skip_rgb, encoder.pool
        self.norm1, self.down2, self.level2, self.norm2 = encoder.norm1, encoder.down2, encoder.level2, encoder.norm2
        self.down3, self.level3 = encoder.down3, encoder.level3
        self.norm3: nn.Module = encoder.norm3

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See ``Encoder``."""
        half = self.first(x)
        half_cat = self.norm1(half)
        down = self.down2(half_cat)
        quarter = self.norm2(torch.cat([self.level2(down), down, self.pool(half[:, LEVEL1:])], 1))
        down = self.down3(quarter)
        eighth = self.norm3(torch.cat([down, self.level3(down)], 1))
        return half_cat if self.skip_rgb else half[:, :LEVEL1], quarter, eighth


class Varying(nn.Module):
    """The channels of a ``ScaledPReLU`` that vary, and one of ones in the place of all that are constant."""

    def __init__(self, norm: ScaledPReLU, varies: Tensor) -> None:
        super().__init__()
        names = ("slope", "scale", "shift")
        self.register_buffer("index", varies.nonzero().flatten())
        self.norm = ScaledPReLU(*(norm.get_buffer(name)[varies] for name in names))

    def forward(self, x: Tensor) -> Tensor:
        varying = self.norm(x.index_select(1, self.get_buffer("index")))
        return torch.cat([varying, torch.ones_like(varying[:, :1])], 1)


def fold(network: StreamingNetwork) -> StreamingNetwork:
    """Return a copy for inference."""
    network = copy.deepcopy(network).eval()
    if isinstance(network, ESPNet):
        assert isinstance(network.encoder, Encoder)
        network.encoder = FoldedEncoder(network.encoder)
        if "L1d" in network.reductions:
            network.reductions["L1d"], network.norm_half = _merge(network.reductions["L1d"], network.norm_half)
    _fold_norms(network)
    if isinstance(network, ESPNet):
        _gather_constants(network)
    return network.requires_grad_(False)


def _fold_norms(module: nn.Module) -> None:
    """Replace batch norms in place, in all children."""
    for name, child in module.named_children():
        if isinstance(child, NormPReLU):
            setattr(module, name, ScaledPReLU(child.slope, *_affine(child.norm)))
        elif isinstance(child, nn.Sequential) and _ends_in_norm(child):
            setattr(module, name, nn.Sequential(*_merge(*child)))
        else:
            _fold_norms(child)


def _ends_in_norm(block: nn.Sequential) -> bool:
    """Tell whether a block is a convolution without bias and a NormPReLU."""
    first, *rest = block
    return isinstance(first, nn.Conv2d | nn.ConvTranspose2d) and [type(m) for m in rest] == [NormPReLU]


def _merge(convolution: nn.Module, norm: nn.Module) -> tuple[nn.Module, ScaledPReLU]:
    """Return the convolution with the batch norm behind it in its weights, and the PReLU alone."""
    assert isinstance(convolution, nn.Conv2d | nn.ConvTranspose2d)
    assert isinstance(norm, NormPReLU)
    merged = copy.deepcopy(convolution)
    weight, bias = _into(convolution.weight, norm.norm, int(isinstance(convolution, nn.ConvTranspose2d)))
    merged.weight, merged.bias = nn.Parameter(weight), nn.Parameter(bias)
    return merged, ScaledPReLU(norm.slope)


def _into(weight: Tensor, norm: nn.BatchNorm2d, dim: int) -> tuple[Tensor, Tensor]:
    """Return the weight scaled by the batch norm along its output dimension, and the bias."""
    scale, shift = _affine(norm)
    return weight.detach() * scale.view([-1 if d == dim else 1 for d in range(weight.ndim)]), shift


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return scale and shift of a batch norm at inference."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias.detach() - norm.running_mean * scale


def _gather_constants(network: ESPNet) -> None:
    """Let one channel stand for all that training has made constant behind the encoder: it may be a quarter of them."""
    encoder, cell = network.encoder, network.cell
    assert isinstance(encoder, FoldedEncoder)
    assert isinstance(encoder.norm3, ScaledPReLU)
    scale = encoder.norm3.get_buffer("scale").flatten()
    constant = encoder.norm3(torch.zeros(1, len(scale), 1, 1))
    varies = scale.abs() > NOTHING
    if network.cell_position != "L1b":
        consumer = network.reductions["L1b"]
    elif isinstance(cell, ConvLSTM) and isinstance(cell.gates, StandardGates) and isinstance(cell.norm, nn.Identity):
        consumer = cell.gates.convolution
    else:
        return
    if varies.all():
        return
    assert isinstance(consumer, nn.Conv2d)
    weight, inputs = consumer.weight.detach(), len(scale)
    ones = (weight[:, :inputs] * constant)[:, ~varies].sum(1, keepdim=True)
    consumer.weight = nn.Parameter(torch.cat([weight[:, :inputs][:, varies], ones, weight[:, inputs:]], 1))
    consumer.in_channels = consumer.weight.shape[1]
    encoder.norm3 = Varying(encoder.norm3, varies)

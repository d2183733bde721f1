"""ESPNet for inference: fewer passes over memory than the trained form, equal but for rounding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vidseg_ros.networks.blocks import NormPReLU
from vidseg_ros.networks.folding import ScaledPReLU, fold_into

RGB = 3
NOTHING = 1e-12  # a scale that weight decay has ended


class FoldedEncoder(nn.Module):
    """``Encoder`` whose first pooling of the frame is three more channels of its first convolution."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        convolution, norm = encoder.level1
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, NormPReLU)
        weight, bias = fold_into(convolution, norm.norm)
        first = nn.Conv2d(RGB, len(bias) + RGB, 3, 2, 1)
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
        quarter = self.norm2(torch.cat([self.level2(down), down, self.pool(half[:, -RGB:])], 1))
        down = self.down3(quarter)
        eighth = self.norm3(torch.cat([down, self.level3(down)], 1))
        return half_cat if self.skip_rgb else half[:, :-RGB], quarter, eighth


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


def gather_constants(encoder: FoldedEncoder, consumer: nn.Module) -> None:
    """Let one channel stand for all that training has made constant behind the encoder: it may be a quarter of them.

    consumer: the convolution that takes the deepest features, and whatever else behind them.
    """
    assert isinstance(encoder.norm3, ScaledPReLU)
    assert isinstance(consumer, nn.Conv2d)
    scale = encoder.norm3.get_buffer("scale").flatten()
    constant = encoder.norm3(torch.zeros(1, len(scale), 1, 1))
    varies = scale.abs() > NOTHING
    if varies.all():
        return
    weight, inputs = consumer.weight.detach(), len(scale)
    ones = (weight[:, :inputs] * constant)[:, ~varies].sum(1, keepdim=True)
    consumer.weight = nn.Parameter(torch.cat([weight[:, :inputs][:, varies], ones, weight[:, inputs:]], 1))
    consumer.in_channels = consumer.weight.shape[1]
    encoder.norm3 = Varying(encoder.norm3, varies)

"""ESPNet (Mehta et al. 2018) and its ConvLSTM forms L1a to L1d (F2F paper, Figure 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vidseg_ros.networks.blocks import ESP, NormPReLU, SubpixelHead, conv, crop_to, upsample
from vidseg_ros.networks.config import NetworkConfig, Position
from vidseg_ros.networks.convlstm import ConvLSTM
from vidseg_ros.networks.espnet_folded import FoldedEncoder, gather_constants
from vidseg_ros.networks.folding import merge_norm
from vidseg_ros.networks.memory import Static
from vidseg_ros.networks.streaming import At, StreamingNetwork
from vidseg_ros.schema import require_range

LEVEL1, LEVEL2, LEVEL3 = 16, 64, 128  # channels at 1/2, 1/4 and 1/8
FEATURES = 2 * LEVEL3
RGB = 3
MOST_BLOCKS, MOST_CHANNELS = 100, 4096  # of a description that is believed
NORMS = {  # the batch norms before and behind a reduction, whose statistics tell how large its input and output are
    "L1b": ("encoder.norm3.0", "norm_eighth"),
    "L1c": ("encoder.norm2.0", "merge.0.0"),
    "L1d": ("up_quarter.1.0", "norm_half.0"),
}


@dataclass(frozen=True)
class ESPNetConfig(NetworkConfig):
    """ESPNet's own fields."""

    name: str = "espnet"
    p: int = 2  # ESP blocks at 1/4
    q: int = 3  # ESP blocks at 1/8
    skip_rgb: bool = False  # the skip at 1/2 carries the normalised RGB too, as in the ESPNet release for CamVid
    decoder_channels: int = 0  # width of the decoder; 0: as many as classes

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(0, MOST_BLOCKS, p=self.p, q=self.q)
        require_range(0, MOST_CHANNELS, decoder_channels=self.decoder_channels)

    @property
    def width(self) -> int:
        """Channels of the decoder."""
        return self.decoder_channels or self.classes


class Encoder(nn.Module):
    """Features at 1/2 (16 channels, 19 with ``skip_rgb``), 1/4 (131) and 1/8 (256)."""

    def __init__(self, p: int, q: int, skip_rgb: bool) -> None:
        super().__init__()
        self.skip_rgb = skip_rgb
        self.pool = nn.AvgPool2d(3, stride=2, padding=1)
        self.level1 = nn.Sequential(conv(3, LEVEL1, 3, stride=2), NormPReLU(LEVEL1))
        self.norm1 = NormPReLU(LEVEL1 + 3)
        self.down2 = ESP(LEVEL1 + 3, LEVEL2, stride=2)
        self.level2 = nn.Sequential(*(ESP(LEVEL2, LEVEL2) for _ in range(p)))
        self.norm2 = NormPReLU(2 * LEVEL2 + 3)
        self.down3 = ESP(2 * LEVEL2 + 3, LEVEL3, stride=2)
        self.level3 = nn.Sequential(*(ESP(LEVEL3, LEVEL3) for _ in range(q)))
        self.norm3 = NormPReLU(2 * LEVEL3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        half_rgb = self.pool(x)
        quarter_rgb = self.pool(half_rgb)
        half = self.level1(x)
        half_cat = self.norm1(torch.cat([half, half_rgb], 1))
        down = self.down2(half_cat)
        quarter = self.norm2(torch.cat([self.level2(down), down, quarter_rgb], 1))
        down = self.down3(quarter)
        eighth = self.norm3(torch.cat([down, self.level3(down)], 1))
        return half_cat if self.skip_rgb else half, quarter, eighth


class ESPNet(StreamingNetwork):
    """ESPNet with p and q blocks. Its decoder reduces channels at 1/8 (L1b), 1/4 (L1c) and 1/2 (L1d).

    A ConvLSTM at one of these positions stands in place of the reduction; at L1a it follows the last layer.
    """

    config: ESPNetConfig
    output = "L1a"

    def __init__(self, config: ESPNetConfig) -> None:
        super().__init__(config)
        width = config.width
        self.encoder: nn.Module = Encoder(config.p, config.q, config.skip_rgb)
        for name, place in self.positions(config).items():
            if not (config.cell and config.cell.position == name):
                self.reductions[name] = conv(place.in_channels, width, 3 if name == "L1d" else 1)
        self.norm_eighth = nn.BatchNorm2d(width, eps=1e-3)
        self.up_eighth = upsample(width, width)
        self.merge = nn.Sequential(NormPReLU(2 * width), ESP(2 * width, width, residual=False))
        self.up_quarter = nn.Sequential(upsample(width, width), NormPReLU(width))
        self.norm_half: nn.Module = NormPReLU(width)
        self.head = SubpixelHead(width, config.classes)

    @classmethod
    def positions(cls, config: NetworkConfig) -> Mapping[str, Position]:
        assert isinstance(config, ESPNetConfig)
        width = config.width
        return {
            "L1b": Position(FEATURES, width, 8),
            "L1c": Position(2 * LEVEL2 + RGB, width, 4),
            "L1d": Position(LEVEL1 + RGB * config.skip_rgb + width, width, 2),
        }

    def features(self, frame: Tensor) -> Tensor:
        return self.encoder(self.normalize(frame))[-1]  # type: ignore[no-any-return]

    def body(self, x: Tensor, at: At) -> Tensor:
        half, quarter, eighth = self.encoder(x)
        deep = crop_to(self.up_eighth(self.norm_eighth(at("L1b", eighth))), quarter)
        skip = at("L1c", quarter)
        middle = crop_to(self.up_quarter(self.merge(torch.cat([skip, deep], 1))), half)
        return self.norm_half(at("L1d", torch.cat([middle, half], 1)))  # type: ignore[no-any-return]

    def static(self, state: Mapping[str, Tensor]) -> Static | None:
        place = self.config.cell.position if self.config.cell else ""
        weight = state.get(f"reductions.{place}.weight")
        if place not in NORMS or weight is None:
            return super().static(state) if place == self.output else None
        before, after = NORMS[place]
        scale, shift = (state[f"{before}.{name}"] for name in ("weight", "bias"))
        variance = state[f"{after}.running_var"][: len(weight)]
        return Static(weight, float((scale**2 + shift**2).mean().sqrt()), float(variance.mean().sqrt()))

    def fold(self) -> None:
        assert isinstance(self.encoder, Encoder)
        self.encoder = FoldedEncoder(self.encoder)
        if "L1d" in self.reductions:
            self.reductions["L1d"], self.norm_half = merge_norm(self.reductions["L1d"], self.norm_half)
        super().fold()
        if "L1b" in self.reductions:
            gather_constants(self.encoder, self.reductions["L1b"])
        elif isinstance(self.cell, ConvLSTM) and self.cell.sees_input_plainly:
            gather_constants(self.encoder, self.cell.gates.convolution)

"""ESPNet (Mehta et al. 2018) and its ConvLSTM forms L1a to L1d (F2F paper, Figure 2)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidseg_ros.networks.blocks import ESP, NormPReLU, conv, crop_to, upsample
from vidseg_ros.networks.config import NetworkConfig
from vidseg_ros.networks.convlstm import ConvLSTM
from vidseg_ros.networks.streaming import SQUARE, State, Static, StreamingNetwork
from vidseg_ros.schema import require_one_of

LEVEL1, LEVEL2, LEVEL3 = 16, 64, 128  # channels at 1/2, 1/4 and 1/8
POSITIONS = ("L1a", "L1b", "L1c", "L1d")
NORMS = {  # the batch norms before and behind a reduction, whose statistics tell how large its input and output are
    "L1b": ("encoder.norm3.0", "norm_eighth"),
    "L1c": ("encoder.norm2.0", "merge.0.0"),
    "L1d": ("up_quarter.1.0", "norm_half.0"),
}


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
    """ESPNet with p and q blocks; ``config.cell`` puts a ConvLSTM in place of one channel reduction.

    The decoder reduces channels at 1/8 (L1b), 1/4 (L1c) and 1/2 (L1d); L1a adds a cell behind the last layer.
    """

    features_channels = 2 * LEVEL3

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        if config.cell:
            require_one_of("cell.position", config.cell.position, POSITIONS)
        width = config.width
        self.encoder: nn.Module = Encoder(config.p, config.q, config.skip_rgb)
        inputs = {
            "L1b": 2 * LEVEL3,
            "L1c": 2 * LEVEL2 + 3,
            "L1d": LEVEL1 + 3 * config.skip_rgb + width,
            "L1a": config.classes,
        }
        self.cell_position = config.cell.position if config.cell else None
        if config.cell:
            hidden = config.classes if config.cell.position == "L1a" else width
            self.cell = ConvLSTM(inputs[config.cell.position], hidden, config.cell)
        static = {"L1b": conv(inputs["L1b"], width, 1), "L1c": conv(inputs["L1c"], width, 1)}
        static |= {"L1d": conv(inputs["L1d"], width, 3)}
        self.reductions = nn.ModuleDict({k: m for k, m in static.items() if k != self.cell_position})
        self.norm_eighth = nn.BatchNorm2d(width, eps=1e-3)
        self.up_eighth = upsample(width, width)
        self.merge = nn.Sequential(NormPReLU(2 * width), ESP(2 * width, width, residual=False))
        self.up_quarter = nn.Sequential(upsample(width, width), NormPReLU(width))
        self.norm_half: nn.Module = NormPReLU(width)
        self.up_half = upsample(width, config.classes)

    def features(self, frame: Tensor) -> Tensor:
        return self.encoder(self.normalize(frame))[-1]  # type: ignore[no-any-return]

    def static(self, state: Mapping[str, Tensor]) -> Static | None:
        if self.cell_position == "L1a":  # where a network without cell does nothing
            return Static(torch.eye(self.config.classes)[..., None, None])
        weight = state.get(f"reductions.{self.cell_position}.weight")
        if self.cell_position is None or weight is None:
            return None
        before, after = NORMS[self.cell_position]
        scale, shift = (state[f"{before}.{name}"] for name in ("weight", "bias"))
        variance = state[f"{after}.running_var"][: len(weight)]
        return Static(weight, float((scale**2 + shift**2).mean().sqrt()), float(variance.mean().sqrt()))

    def forward(self, frame: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        half, state = self._decode(frame, state)
        logits, state = self._reduce("L1a", crop_to(self.up_half(half), frame), state)
        assert state is not None
        return logits, state

    def planes(self, frame: Tensor, state: State | None = None) -> tuple[list[Tensor], State]:
        if self.cell_position == "L1a":
            return super().planes(frame, state)
        half, state = self._decode(frame, state)
        pixels = self.up_half.weight.flatten(2).permute(2, 1, 0)[..., None, None]  # each a 1x1 convolution
        assert state is not None
        return [functional.conv2d(half, pixel) for pixel in pixels], state

    def subpixel_shape(self, height: int, width: int) -> tuple[int, int, int]:
        if self.cell_position == "L1a":
            return super().subpixel_shape(height, width)
        return SQUARE, -(-height // 2), -(-width // 2)

    def _decode(self, frame: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        """Return what the last layer sees (N, width, H/2, W/2) and the new state."""
        half, quarter, eighth = self.encoder(self.normalize(frame))
        state = () if self.cell is None else state
        deep, state = self._reduce("L1b", eighth, state)
        deep = crop_to(self.up_eighth(self.norm_eighth(deep)), quarter)
        skip, state = self._reduce("L1c", quarter, state)
        middle = crop_to(self.up_quarter(self.merge(torch.cat([skip, deep], 1))), half)
        shallow, state = self._reduce("L1d", torch.cat([middle, half], 1), state)
        return self.norm_half(shallow), state

    def _reduce(self, position: str, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        """Apply what stands at ``position``: the cell, which moves the state, a convolution, or (L1a) nothing."""
        if self.cell is not None and position == self.cell_position:
            return self.cell(x, state)
        if position in self.reductions:
            x = self.reductions[position](x)
        return x, state

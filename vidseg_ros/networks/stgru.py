"""The spatio-temporal transformer gated recurrent unit of GRFP (Nilsson and Sminchisescu 2018, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from vidseg_ros.flow.warp import warp
from vidseg_ros.networks.config import PropagationConfig, require_odd
from vidseg_ros.networks.memory import State
from vidseg_ros.networks.propagation import BRIGHTEST, NEVER, Planes, Propagation
from vidseg_ros.schema import require_one_of

VARIANTS = ("paper", "code")
IDENTITY, SPREAD, GATE_SPREAD = 6.0, 0.01, 0.001  # of the first weights: diagonal, and deviations
LAMBDA = 2.0


@dataclass(frozen=True)
class STGRUConfig(PropagationConfig):
    """The unit of the paper; its public code takes r.w in the place of w in equations (9) and (10), too."""

    name: str = "stgru"
    kernel: int = 7
    variant: str = "paper"

    def __post_init__(self) -> None:
        require_odd("propagation.kernel", self.kernel)
        require_one_of("propagation.variant", self.variant, VARIANTS)


class STGRU(Propagation):
    """Gated average of the class probabilities now and those before, moved along the flow.

    Probabilities enter as softmax - 1/C, zero where nothing is known: beyond the edge of the picture, too. What comes
    out is the argument of the softmax of equation (10), so the logits are exact. A fresh start gives the logits of
    the network alone, as the first frame does in the paper.
    """

    behind_output: ClassVar[bool] = True

    def __init__(self, classes: int, config: STGRUConfig) -> None:
        super().__init__()
        self.classes, self.resets_all = classes, config.variant == "code"

        def conv(inputs: int, outputs: int, bias: bool = False) -> nn.Conv2d:
            return nn.Conv2d(inputs, outputs, config.kernel, padding=config.kernel // 2, bias=bias)

        self.ir = conv(3, 1, bias=True)
        self.xh, self.hh = conv(classes, classes), conv(classes, classes)
        self.xz, self.hz = conv(classes, 1, bias=True), conv(classes, 1)
        self.scale = nn.Parameter(torch.tensor(LAMBDA))
        self._reset()

    @torch.no_grad()
    def _reset(self) -> None:
        """The first weights of the public code: near the identity, and gates half open."""
        for convolution in (self.xh, self.hh, self.xz, self.hz, self.ir):
            nn.init.normal_(convolution.weight, std=GATE_SPREAD if convolution is self.ir else SPREAD)
            if convolution.bias is not None:
                convolution.bias.zero_()
        for convolution in (self.xh, self.hh):
            middle = convolution.kernel_size[0] // 2
            convolution.weight[:, :, middle, middle] += IDENTITY * torch.eye(self.classes)

    def initial_state(self, batch: int, height: int, width: int) -> State:
        even = self.scale.new_full((batch, self.classes, height, width), 1 / self.classes)
        return even, self.scale.new_full((batch, 3, height, width), NEVER)

    def forward(
        self, seen: Tensor, planes: Planes, frames: Tensor, flow: Tensor | None, state: State | None
    ) -> tuple[list[Tensor], State]:
        (logits,) = planes(seen)
        if state is not None:
            assert flow is not None
            begins = state[1][:, :1, :1, :1] > BRIGHTEST
            logits = torch.where(begins, logits, self._fused(logits, frames, flow, state))
        posterior = logits.softmax(1)
        return [logits], (posterior, frames.to(posterior.dtype))

    def _fused(self, logits: Tensor, frames: Tensor, flow: Tensor, state: State) -> Tensor:
        """Equations (6) to (10), without the softmax: (N, C, H, W)."""
        posterior, before = state
        kind = self.scale.dtype
        x = logits.softmax(1).to(kind) - 1 / self.classes
        known = torch.cat([posterior - 1 / self.classes, before.to(posterior.dtype)], 1)
        moved = warp(known, flow, outside="zeros")
        past, picture = moved[:, : self.classes].to(kind), moved[:, self.classes :]
        reset = 1 - torch.tanh(self.ir((frames.float() - picture).to(kind)).abs())
        trusted = reset * past
        carried = trusted if self.resets_all else past
        candidate = self.xh(x) + self.hh(trusted)
        update = torch.sigmoid(self.xz(x) + self.hz(carried))
        fused: Tensor = self.scale * (1 - update) * carried + update * candidate
        return fused

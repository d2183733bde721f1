"""The ConvLSTM cell with peepholes (Shi et al. 2015; F2F paper, section 3.1), one time step."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidseg_ros.errors import UserError
from vidseg_ros.networks.config import CellConfig
from vidseg_ros.networks.memory import Memory, State, Static

GATES = 4  # input, forget, output, candidate: in this order in every weight
FORGET_BIAS = 0.1
PEEPHOLE = 0.1
CONVOLUTION_BIAS = (2.0, -1.0, 2.0)  # of input, forget and output gate there
CALM = 0.1  # of the gates' random weights is left where a cell begins as a static convolution


class Gates(nn.Module):
    """The convolution of a cell: input and hidden state, each (N, C, H, W), to the four gates, alike."""

    convolution: nn.Conv2d
    shape: tuple[int, int]  # how the output channels divide, with the gates at dimension gate_dim
    gate_dim: int

    def of_gate(self, gate: int) -> Tensor:
        """Return the weights of one gate as a view, (hidden or 1, inputs, k, k)."""
        weight = self.convolution.weight
        return weight.view(*self.shape, *weight.shape[1:]).select(self.gate_dim, gate)

    def taps(self, weight: Tensor) -> Tensor:
        """Return what this convolution can take over of a static one (hidden, in, k, k), as in ``of_gate``."""
        return weight


class StandardGates(Gates):
    """One convolution from input and hidden state to all gates; 4(C+D)PQ*D weights."""

    def __init__(self, in_channels: int, hidden_channels: int, kernel: int) -> None:
        super().__init__()
        self.shape = (GATES, hidden_channels)
        self.gate_dim = 0
        self.convolution = nn.Conv2d(in_channels + hidden_channels, GATES * hidden_channels, kernel, padding="same")

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        gates: Tensor = self.convolution(torch.cat([x, h], 1))
        return gates.chunk(GATES, 1)


class DepthwiseGates(Gates):
    """Each hidden channel sees itself and its input channel only; 8*C*PQ weights."""

    def __init__(self, in_channels: int, hidden_channels: int, kernel: int) -> None:
        super().__init__()
        _require_equal(in_channels, hidden_channels)
        self.shape = (hidden_channels, GATES)
        self.gate_dim = 1
        self.convolution = nn.Conv2d(
            2 * hidden_channels, GATES * hidden_channels, kernel, padding="same", groups=hidden_channels
        )

    def taps(self, weight: Tensor) -> Tensor:
        return weight.diagonal().permute(2, 0, 1).unsqueeze(1)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        gates: Tensor = self.convolution(torch.stack([x, h], 2).flatten(1, 2))
        return gates.view(x.shape[0], *self.shape, *x.shape[-2:]).unbind(2)


class SharedGates(Gates):
    """One depthwise filter set that all channels share; 8*PQ weights."""

    def __init__(self, in_channels: int, hidden_channels: int, kernel: int) -> None:
        super().__init__()
        _require_equal(in_channels, hidden_channels)
        self.shape = (1, GATES)
        self.gate_dim = 1
        self.convolution = nn.Conv2d(2, GATES, kernel, padding="same")

    def taps(self, weight: Tensor) -> Tensor:
        return weight.diagonal().mean(2)[None, None]

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        pairs = torch.stack([x, h], 2).flatten(0, 1)
        gates: Tensor = self.convolution(pairs)
        return gates.view(*x.shape[:2], GATES, *x.shape[-2:]).unbind(2)


def _require_equal(in_channels: int, hidden_channels: int) -> None:
    if in_channels != hidden_channels:
        raise UserError(
            f"cell.convolution depthwise or shared needs as many input as hidden channels, not {in_channels} and "
            f"{hidden_channels}; use cell.position L1a or cell.convolution standard"
        )


GATE_CONVOLUTIONS: dict[str, type[Gates]] = {
    "standard": StandardGates,
    "depthwise": DepthwiseGates,
    "shared": SharedGates,
}


ACTIVATION_MODULES: dict[str, type[nn.Module]] = {"prelu": nn.PReLU, "tanh": nn.Tanh, "leaky_relu": nn.LeakyReLU}


class ConvLSTM(Memory):
    """ConvLSTM with per-channel peepholes and a learned initial state.

    The output gate sees the old cell state, as in F2F's public code, or the new one, as in Shi et al. (equation (3)).
    """

    state_names = ("hidden", "cell")
    input_unit: Tensor
    output_unit: Tensor

    def __init__(self, in_channels: int, hidden_channels: int, config: CellConfig) -> None:
        super().__init__()
        self.gates: Gates = GATE_CONVOLUTIONS[config.convolution](in_channels, hidden_channels, config.kernel)
        shared = config.convolution == "shared"
        self.peephole = nn.Parameter(torch.full((GATES - 1, 1 if shared else hidden_channels), PEEPHOLE))
        self.output_sees_new = config.output_peephole == "new"
        self.activation = ACTIVATION_MODULES[config.activation]()
        # A bounded candidate needs bounded input (the public code puts a batch norm in front of a tanh cell).
        self.norm = nn.BatchNorm2d(in_channels) if config.activation == "tanh" else nn.Identity()
        self.h0 = nn.Parameter(torch.zeros(hidden_channels, *config.state_size))
        self.c0 = nn.Parameter(torch.zeros(hidden_channels, *config.state_size))
        self.register_buffer("input_unit", torch.ones(()))  # input and output are multiples of these inside
        self.register_buffer("output_unit", torch.ones(()))
        self._reset_gates()

    def _reset_gates(self) -> None:
        """Xavier weights for the three gates, bias 0, forget bias 0.1; the candidate keeps PyTorch's default."""
        bias = self.gates.convolution.bias
        assert bias is not None
        with torch.no_grad():
            bias.zero_()
            bias.view(self.gates.shape).select(self.gates.gate_dim, 1).fill_(FORGET_BIAS)
            for gate in range(GATES - 1):
                nn.init.xavier_normal_(self.gates.of_gate(gate))

    @torch.no_grad()
    def init_from_convolution(self, static: Static) -> None:
        """Begin as a static convolution with a trace of memory.

        The candidate becomes that convolution, the PReLU linear, and the gates almost constant: they write and read
        freely and forget fast, an exponential average over time that ends at the static output where the input
        stays. Other activations cannot be linear: their cell stays as it is. Inside, input and state are of order
        one, so that gates, peepholes and the initial state learn at the pace of the convolutions around the cell.
        """
        if not isinstance(self.activation, nn.PReLU):
            return
        self.input_unit.fill_(static.input_size)
        self.output_unit.fill_(static.output_size)
        weight = static.weight * self.input_unit / self.output_unit
        candidate, taps = self.gates.of_gate(GATES - 1), self.gates.taps(weight)
        inset = (candidate.shape[-1] - taps.shape[-1]) // 2
        window = slice(inset, inset + taps.shape[-1])
        write, keep, read = torch.sigmoid(torch.tensor(CONVOLUTION_BIAS))
        bias = self.gates.convolution.bias
        assert bias is not None
        for gate, value in enumerate(CONVOLUTION_BIAS):
            bias.view(self.gates.shape).select(self.gates.gate_dim, gate).fill_(value)
        candidate.zero_()
        candidate[:, : taps.shape[1], window, window] = taps * (1 - keep) / (write * read)
        for gate in range(GATES - 1):
            self.gates.of_gate(gate).mul_(CALM)
        self.peephole.zero_()  # they would open and shut the gates by the size of what is remembered
        self.activation.weight.fill_(1.0)

    @property
    def sees_input_plainly(self) -> bool:
        """Whether the input goes to one convolution over all channels, with nothing before it."""
        return isinstance(self.gates, StandardGates) and isinstance(self.norm, nn.Identity)

    def initial_state(self, batch: int, height: int, width: int) -> State:
        """Return the learned (h, c) resized to the features, each (batch, hidden, height, width)."""
        return tuple(
            functional.interpolate(p[None], (height, width), mode="bilinear", align_corners=True).expand(
                batch, -1, -1, -1
            )
            for p in (self.h0, self.c0)
        )

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Advance one step.

        x: features (N, in, H, W); state: (h, c), each (N, hidden, H, W), or None for a fresh sequence.
        Returns the new hidden state and the new (h, c), which is in units of ``output_unit``.
        """
        h, c = self.initial_state(x.shape[0], *x.shape[-2:]) if state is None else state
        i, f, o, g = self.gates(self.norm(x) / self.input_unit, h)
        peep_i, peep_f, peep_o = self.peephole[:, None, :, None, None].unbind(0)
        new_c = torch.sigmoid(f + peep_f * c) * c + torch.sigmoid(i + peep_i * c) * self.activation(g)
        new_h = torch.sigmoid(o + peep_o * (new_c if self.output_sees_new else c)) * self.activation(new_c)
        return new_h * self.output_unit, (new_h, new_c)

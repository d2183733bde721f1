"""What a network is built from; stored in each checkpoint. A family adds fields of its own beside its network."""

from __future__ import annotations

from dataclasses import dataclass, field

from vidseg_ros.errors import UserError
from vidseg_ros.labels import IGNORE
from vidseg_ros.schema import LARGEST_SIDE, require_finite, require_one_of, require_positive, require_range

CONVOLUTIONS = ("standard", "depthwise", "shared")
ACTIVATIONS = ("prelu", "tanh", "leaky_relu")
PEEPHOLES = ("old", "new")
CHANNEL_ORDERS = ("rgb", "bgr")
LARGEST_KERNEL = 31


def require_odd(key: str, kernel: int) -> None:
    """Raise UserError for the side of a kernel that has no middle or is too large."""
    if kernel % 2 == 0 or not 1 <= kernel <= LARGEST_KERNEL:
        raise UserError(f"{key} is {kernel}; use an odd number up to {LARGEST_KERNEL}")


@dataclass(frozen=True)
class Position:
    """A place of a network where a memory can stand; ``stride``: how much smaller than the frame its features are."""

    in_channels: int
    out_channels: int
    stride: int


@dataclass(frozen=True)
class CellConfig:
    """The ConvLSTM of a network (F2F paper, section 3.1)."""

    position: str = "L1b"  # one of the network's positions
    kernel: int = 3
    convolution: str = "standard"
    activation: str = "prelu"
    state_size: tuple[int, int] = (45, 60)  # (height, width) of the learned initial state, in feature pixels
    output_peephole: str = "old"  # cell state that the output gate sees: F2F's public code, or "new" (Shi et al. 2015)
    warped: bool = False  # the state is moved along the optical flow before each step

    def __post_init__(self) -> None:
        require_one_of("cell.convolution", self.convolution, CONVOLUTIONS)
        require_one_of("cell.activation", self.activation, ACTIVATIONS)
        require_one_of("cell.output_peephole", self.output_peephole, PEEPHOLES)
        require_positive(**{"cell.state_size": min(self.state_size)})
        require_range(1, LARGEST_SIDE, **{"cell.state_size": max(self.state_size)})
        require_odd("cell.kernel", self.kernel)


@dataclass(frozen=True)
class PropagationConfig:
    """What remembers along the optical flow; ``name`` picks the kind (networks/registry.py)."""

    name: str = ""


@dataclass(frozen=True)
class InputConfig:
    """How 8-bit frames become network input: x = (frame - mean) / std * scale, channels in ``channel_order``."""

    size: tuple[int, int] = (480, 360)  # (width, height) at which the network was trained and runs
    channel_order: str = "rgb"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)  # 0..255, in channel_order
    std: tuple[float, float, float] = (255.0, 255.0, 255.0)
    scale: float = 1.0

    def __post_init__(self) -> None:
        require_one_of("input.channel_order", self.channel_order, CHANNEL_ORDERS)
        require_positive(**{"input.size": min(self.size), "input.std": min(self.std), "input.scale": self.scale})
        require_range(1, LARGEST_SIDE, **{"input.size": max(self.size)})
        require_finite(**{"input.mean": sum(self.mean), "input.std": sum(self.std)})


@dataclass(frozen=True)
class NetworkConfig:
    """What every network is built from; ``name`` picks the family (networks/registry.py)."""

    name: str = ""
    classes: int = 11
    cell: CellConfig | None = None
    input: InputConfig = field(default_factory=InputConfig)
    propagation: PropagationConfig | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        require_positive(classes=self.classes)
        require_range(1, IGNORE - 1, classes=self.classes)

    @property
    def needs_flow(self) -> bool:
        """Whether the network remembers along the optical flow."""
        return self.propagation is not None or (self.cell is not None and self.cell.warped)

"""What a network is built from; stored in each checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field

from vidseg_ros.errors import UserError
from vidseg_ros.schema import require_one_of, require_positive

CELL_STRIDES = {"L1a": 1, "L1b": 8, "L1c": 4, "L1d": 2, "last": 1}
"""Down-sampling factor of the features at each ConvLSTM position: ESPNet L1a to L1d (F2F paper, Figure 2), VSSNet."""

CONVOLUTIONS = ("standard", "depthwise", "shared")
ACTIVATIONS = ("prelu", "tanh", "leaky_relu")
CHANNEL_ORDERS = ("rgb", "bgr")


@dataclass(frozen=True)
class CellConfig:
    """The ConvLSTM of a network (F2F paper, section 3.1)."""

    position: str = "L1b"
    kernel: int = 3
    convolution: str = "standard"
    activation: str = "prelu"
    state_size: tuple[int, int] = (45, 60)  # (height, width) of the learned initial state, in feature pixels

    def __post_init__(self) -> None:
        require_one_of("cell.position", self.position, CELL_STRIDES)
        require_one_of("cell.convolution", self.convolution, CONVOLUTIONS)
        require_one_of("cell.activation", self.activation, ACTIVATIONS)
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise UserError(f"cell.kernel is {self.kernel}; use an odd number")


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


@dataclass(frozen=True)
class NetworkConfig:
    """Everything needed to build a network; stored in each checkpoint."""

    name: str = "espnet"
    classes: int = 11
    p: int = 2  # ESP blocks at 1/4
    q: int = 3  # ESP blocks at 1/8
    skip_rgb: bool = False  # the skip at 1/2 carries the normalised RGB too, as in the ESPNet release for CamVid
    decoder_channels: int = 0  # width of the decoder; 0: as many as classes
    cell: CellConfig | None = None
    input: InputConfig = field(default_factory=InputConfig)
    hysteresis: float = 0.0  # logits by which a new label of a pixel must beat the last one, at inference

    def __post_init__(self) -> None:
        require_positive(classes=self.classes)
        for key in ("p", "q", "decoder_channels", "hysteresis"):
            if getattr(self, key) < 0:
                raise UserError(f"{key} is {getattr(self, key)}; it must not be negative")

    @property
    def width(self) -> int:
        """Channels of the decoder."""
        return self.decoder_channels or self.classes

"""Typed configuration: frozen dataclasses, validated when made, every default exactly once."""

from __future__ import annotations

import types
import typing
from collections.abc import Collection
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml

from vidseg_ros.errors import UserError

T = TypeVar("T")

CELL_STRIDES = {"L1a": 1, "L1b": 8, "L1c": 4, "L1d": 2}
"""Down-sampling factor of the features at each ConvLSTM position (F2F paper, Figure 2)."""

CONVOLUTIONS = ("standard", "depthwise", "shared")
ACTIVATIONS = ("prelu", "tanh", "leaky_relu")
CHANNEL_ORDERS = ("rgb", "bgr")


def require_one_of(key: str, value: object, allowed: Collection[object]) -> None:
    """Raise UserError unless ``value`` is in ``allowed``."""
    if value not in allowed:
        raise UserError(f"{key} is {value!r}; use one of {', '.join(map(str, allowed))}")


def require_positive(**values: float) -> None:
    """Raise UserError for the first value that is not above zero."""
    for key, value in values.items():
        if not value > 0:
            raise UserError(f"{key} is {value}; it must be above 0")


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

    def __post_init__(self) -> None:
        require_positive(classes=self.classes)
        for key in ("p", "q", "decoder_channels"):
            if getattr(self, key) < 0:
                raise UserError(f"{key} is {getattr(self, key)}; it must not be negative")

    @property
    def width(self) -> int:
        """Channels of the decoder."""
        return self.decoder_channels or self.classes


@dataclass(frozen=True)
class StreamConfig:
    """When a stream forgets its past, and at which size its network runs."""

    max_gap: float = 0.5  # seconds between frames beyond which the state is reset
    size: tuple[int, int] | None = None  # (width, height) of the network input; None: as the network was trained

    def __post_init__(self) -> None:
        require_positive(max_gap=self.max_gap)
        if self.size is not None and min(self.size) < 16:
            raise UserError(f"size is {self.size}; width and height must be at least 16")


@dataclass(frozen=True)
class PhaseConfig:
    """One phase of training: how many steps of which clips, and what learns."""

    steps: int
    clip_length: int  # frames; 1 trains on single frames
    batch: int  # clips
    learning_rate: float  # at the start; falls to zero along a cosine
    lambda_incons: float = 10.0
    freeze_norm: bool = False  # keep the batch norm statistics of the phase before
    synthetic_share: float = 0.0  # of the clips that come from the street world

    def __post_init__(self) -> None:
        for key in ("steps", "clip_length", "batch", "learning_rate"):
            require_positive(**{f"phases.{key}": getattr(self, key)})
        if not 0 <= self.synthetic_share < 1:
            raise UserError(f"phases.synthetic_share is {self.synthetic_share}; it must lie in 0..1, below 1")


@dataclass(frozen=True)
class TrainConfig:
    """A training run: ``vidseg train``."""

    network: NetworkConfig
    phases: tuple[PhaseConfig, ...]
    data: str = "camvid/train"  # a folder, or one below $VIDSEG_DATA
    weight_decay: float = 2e-4
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.phases:
            raise UserError("phases is empty; give at least one")


def load_yaml(path: Path, cls: type[T]) -> T:
    """Read a ``cls`` from a YAML file."""
    try:
        data = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"cannot read config '{path}': {error.strerror}; name a readable YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"config '{path}' is not valid YAML: {error}") from error
    return from_dict(cls, data or {})


def from_dict(cls: type[T], data: object, where: str = "") -> T:
    """Build the dataclass ``cls`` from plain data as JSON and YAML have it; ``where`` names it in errors.

    Raises UserError for a key that does not exist (naming the nearest one) or a value of another type.
    """
    if not isinstance(data, dict):
        raise UserError(f"{where or cls.__name__} is {data!r}; expected keys and values")
    hints = typing.get_type_hints(cls)
    known = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    for key in data:
        if key not in known:
            nearest = get_close_matches(str(key), known, 1) or known
            raise UserError(f"unknown key '{where}{key}'; did you mean '{where}{nearest[0]}'?")
    for item in fields(cls):  # type: ignore[arg-type]
        if item.name not in data and item.default is MISSING and item.default_factory is MISSING:
            raise UserError(f"{where}{item.name} is missing in {where.rstrip('.') or cls.__name__}; give it a value")
    return cls(**{key: _convert(hints[key], value, f"{where}{key}") for key, value in data.items()})


def _convert(kind: Any, value: object, where: str) -> Any:
    """Check ``value`` against the type ``kind``; make dataclasses of dicts, tuples of lists and floats of ints."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        inner = next(k for k in typing.get_args(kind) if k is not type(None))
        return None if value is None else _convert(inner, value, where)
    if is_dataclass(kind):
        return from_dict(typing.cast("type[Any]", kind), value, f"{where}.")
    if typing.get_origin(kind) is tuple and isinstance(value, list | tuple):
        return _convert_tuple(typing.get_args(kind), value, where)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = typing.get_origin(kind) or kind
    if not isinstance(value, plain) or (plain is int and isinstance(value, bool)):
        raise UserError(f"{where} is {value!r}; expected {getattr(kind, '__name__', kind)}")
    return value


def _convert_tuple(kinds: tuple[Any, ...], value: Collection[object], where: str) -> tuple[Any, ...]:
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise UserError(f"{where} has {len(value)} values; expected {len(kinds)}")
    return tuple(_convert(kind, item, where) for kind, item in zip(kinds, value, strict=True))

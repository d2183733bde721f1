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

CELL_STRIDES = {"L1a": 1, "L1b": 8, "L1c": 4, "L1d": 2, "last": 1}
"""Down-sampling factor of the features at each ConvLSTM position: ESPNet L1a to L1d (F2F paper, Figure 2), VSSNet."""

CONVOLUTIONS = ("standard", "depthwise", "shared")
ACTIVATIONS = ("prelu", "tanh", "leaky_relu")
CHANNEL_ORDERS = ("rgb", "bgr")
DIFFERENCES = ("squared", "absolute")
COMPARED = ("label", "all")
FIGURES = ("miou", "acc", "cons", "vc8", "vc16")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")

ENGINES = ("auto", "torch", "compiled", "cudagraph", "onnxruntime", "openvino", "tensorrt")
ENGINE_PRECISIONS = ("f32", "bf16", "f16")

LEARNS = ("encoder", "single", "cell", "all")
"""Phases of the F2F paper: the encoder behind a classifier of its own, the network without its cell, the cell alone,
and everything together."""


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


@dataclass(frozen=True)
class EngineConfig:
    """What runs the network, and where."""

    engine: str = "auto"  # the fastest that is installed for the device
    device: str = "auto"  # the first GPU, or the CPU
    threads: int = 0  # of the CPU; 0: as many as the runtime sees fit
    precision: str = "f32"  # of the arithmetic; the lower ones trade a few labels for speed
    hysteresis: float | None = None  # logits by which a new label must beat the last one; None: as the checkpoint says

    def __post_init__(self) -> None:
        require_one_of("engine", self.engine, ENGINES)
        require_one_of("precision", self.precision, ENGINE_PRECISIONS)
        for key in ("threads", "hysteresis"):
            if (getattr(self, key) or 0) < 0:
                raise UserError(f"{key} is {getattr(self, key)}; it must not be negative")


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
class ReplayConfig:
    """What is done with every input."""

    checkpoint: str
    compare: str = ""  # a second checkpoint
    topics: tuple[str, ...] = ()  # cameras of bags; none: the only one
    labels: str = ""  # label topic or folder of ground truth
    palette: str = ""  # label set of the ground truth; none: that of the checkpoint
    fps: float = 15.0  # of folders of images
    frames: int | None = None  # at most
    # what `auto` takes depends on what is installed; PyTorch is everywhere, and the same everywhere
    engine: EngineConfig = field(default_factory=lambda: EngineConfig(engine="torch"))
    stream: StreamConfig = field(default_factory=StreamConfig)

    def __post_init__(self) -> None:
        require_positive(fps=self.fps, frames=1 if self.frames is None else self.frames)

    @property
    def checkpoints(self) -> list[str]:
        """One or two."""
        return [self.checkpoint, *([self.compare] if self.compare else [])]


@dataclass(frozen=True)
class PseudoConfig:
    """Which labels of a teacher are kept: ``vidseg pseudo-label``."""

    confidence: float = 0.9  # probability of the label, averaged over the views
    scales: tuple[float, ...] = (0.75, 1.0, 1.25)  # of the teacher's input size
    flip: bool = True  # look at the mirrored frame, too
    agreement: bool = True  # the label must be that of the frames before and after, along the flow

    def __post_init__(self) -> None:
        if not 0 <= self.confidence < 1:
            raise UserError(f"confidence is {self.confidence}; use 0 to below 1")
        if not self.scales:
            raise UserError("scales is empty; give at least one")
        require_positive(scales=min(self.scales))


@dataclass(frozen=True)
class MotionConfig:
    """The random camera over a still (data/stills.py). Speeds and spreads are standard deviations."""

    zoom_range: tuple[float, float] = (0.75, 2.0)  # of the first frame; 1 shows the still at its own scale
    zoom_speed: float = 0.03  # per frame; also the mean: a camera in a car drives forward more often than not
    shift_speed: float = 0.004  # of the image width, per frame
    roll_speed: float = 0.003  # radians per frame
    tilt: float = 0.05  # perspective: change of scale from the centre of the frame to its edge
    jitter: float = 0.3  # of each frame's speed, relative
    exposure: float = 0.25  # of the clip's gain, logarithmic
    flicker: float = 0.06  # of each frame's gain, logarithmic
    noise: float = 6.0  # grey levels; the largest that a clip draws
    blur: float = 0.15  # share of the clips that are blurred
    shadows: float = 0.3  # share of the clips with a shadow that moves
    occluders: float = 0.3  # share of the clips in which something from another still passes

    def __post_init__(self) -> None:
        if not 0 < self.zoom_range[0] <= self.zoom_range[1]:
            raise UserError(f"motion.zoom_range is {self.zoom_range}; give two rising numbers above 0")
        for item in fields(self)[1:]:
            if getattr(self, item.name) < 0:
                raise UserError(f"motion.{item.name} is {getattr(self, item.name)}; it must not be negative")


@dataclass(frozen=True)
class SourceConfig:
    """Where clips come from (data/mixture.py), and how often."""

    source: str  # "street" for the street world, or a data set: a folder, or one below $VIDSEG_DATA
    share: float = 1.0  # of the clips, relative to the shares of the other sources
    stills: bool = True  # make clips from single labelled frames; False takes consecutive frames

    def __post_init__(self) -> None:
        if self.share < 0:
            raise UserError(f"data.share is {self.share}; it must not be negative")


@dataclass(frozen=True)
class LossConfig:
    """Cross entropy and the inconsistency loss (F2F paper, equations (1) to (6), and its public code)."""

    weight_power: float = 1.0  # of the class weights 1 / ln(1.10 + p); 0: all classes count alike
    lambda_incons: float = 10.0
    difference: str = "squared"
    compared: str = "label"  # the probability of the true class, or of all classes
    dilation: int = 0  # pixels around a change of the truth that are left out; the public code takes 2

    def __post_init__(self) -> None:
        require_one_of("loss.difference", self.difference, DIFFERENCES)
        require_one_of("loss.compared", self.compared, COMPARED)
        for key in ("weight_power", "lambda_incons", "dilation"):
            if getattr(self, key) < 0:
                raise UserError(f"loss.{key} is {getattr(self, key)}; it must not be negative")


@dataclass(frozen=True)
class PhaseConfig:
    """One phase of training: how many steps of which clips, and what learns."""

    steps: int
    clip_length: int  # frames; 1 trains on single frames
    batch: int  # clips, over all processes together
    learning_rate: float  # the highest; rises over the first twentieth of the steps, falls to zero along a cosine
    learns: str = "all"
    freeze_norm: bool = False  # keep the batch norm statistics of the phase before
    run_up: int = 0  # frames, there and back through the clip, that only fill the memory before every second step

    def __post_init__(self) -> None:
        require_one_of("phases.learns", self.learns, LEARNS)
        for key in ("steps", "clip_length", "batch", "learning_rate"):
            require_positive(**{f"phases.{key}": getattr(self, key)})
        if self.run_up and (self.run_up < 0 or self.clip_length == 1):
            raise UserError(f"phases.run_up is {self.run_up}; give a number of frames, with a clip_length above 1")

    @property
    def single_frame(self) -> bool:
        """Whether the network is built without its cell."""
        return self.learns in ("encoder", "single")


@dataclass(frozen=True)
class TrainConfig:
    """A training run: ``vidseg train``."""

    network: NetworkConfig
    phases: tuple[PhaseConfig, ...]
    data: tuple[SourceConfig, ...]
    validation: str = ""  # a data set, judged through a stream; none: the last weights are the result
    validate_every: int = 250  # steps
    best: str = "miou"  # the figure of validation whose highest value picks the weights of a phase; "" picks the last
    labels: str = "camvid"  # label set
    loss: LossConfig = field(default_factory=LossConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)
    imitate: bool = True  # a cell begins as an average over time of the convolution that it replaces
    weight_decay: float = 2e-4
    average: float = 0.0  # decay per step of the running mean of the weights that is judged and kept; 0: none
    precision: str = "32-true"  # of Lightning: bf16-mixed, 16-mixed, ...
    save_minutes: float = 2.0  # between two states from which a killed run goes on
    seed: int = 0

    def __post_init__(self) -> None:
        require_one_of("precision", self.precision, PRECISIONS)
        require_one_of("best", self.best, ("", *FIGURES))
        require_positive(save_minutes=self.save_minutes, validate_every=self.validate_every)
        if not 0.0 <= self.average < 1.0:
            raise UserError(f"average is {self.average}; give a decay per step from 0 (none) to below 1, such as 0.99")
        for key in ("phases", "data"):
            if not getattr(self, key):
                raise UserError(f"{key} is empty; give at least one")
        if not sum(source.share for source in self.data):
            raise UserError("the shares of data sum to 0; give one source a share")
        if self.network.cell is None and any(phase.learns == "cell" for phase in self.phases):
            raise UserError("a phase trains the cell, and the network has none; give network.cell")


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
    if plain is tuple:
        raise UserError(f"{where} is {value!r}; expected a list")
    if not isinstance(value, plain) or (plain is int and isinstance(value, bool)):
        raise UserError(f"{where} is {value!r}; expected {getattr(kind, '__name__', kind)}")
    return value


def _convert_tuple(kinds: tuple[Any, ...], value: Collection[object], where: str) -> tuple[Any, ...]:
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise UserError(f"{where} has {len(value)} values; expected {len(kinds)}")
    return tuple(_convert(kind, item, where) for kind, item in zip(kinds, value, strict=True))

"""Parameters of nodes as dataclasses: name, default, meaning and range of each, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterUninitializedException
from rclpy.node import Node

from vidseg_ros.checkpoints.checkpoint import MEMORIES
from vidseg_ros.engines.config import ENGINES, EngineConfig
from vidseg_ros.engines.registry import PRECISIONS
from vidseg_ros.flow.estimator import DIS, PRESETS
from vidseg_ros.io.pictures import OPACITY
from vidseg_ros.schema import require_one_of
from vidseg_ros.stream import StreamConfig

T = TypeVar("T")

TRANSPORTS = ("raw", "compressed")
QOS_OVERRIDES = "qos_overrides."  # declared when the topics are created


def parameter(default: Any, text: str, low: float | None = None, high: float | None = None, fixed: bool = False) -> Any:
    """Declare a field with its description and range; ``fixed`` parameters cannot change while the node runs."""
    about = {"text": text, "range": None if low is None else (low, high), "fixed": fixed}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=about)
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class Parameters:
    """Those of the segmentation node. Values are taken when it is configured."""

    model: str = parameter("", "Checkpoint, name of shipped weights or file of vidseg export; empty: the default")
    engine: str = parameter(EngineConfig.engine, f"What runs the network: {', '.join(ENGINES)}")
    device: str = parameter(EngineConfig.device, "Device of the network: auto, cpu, cuda, cuda:1, ...")
    precision: str = parameter(EngineConfig.precision, f"Arithmetic of the network: {', '.join(PRECISIONS)}")
    hysteresis: float = parameter(
        -1.0, "Logits by which a new label must beat the last one; below 0: as the model says", -1.0, 1000.0
    )
    memory: str = parameter(EngineConfig.memory, f"What is remembered: auto (as the model says), {', '.join(MEMORIES)}")
    warped: int = parameter(
        -1, "1 moves what a ConvLSTM and the hysteresis remember along the optical flow; -1: as the model says", -1, 1
    )
    flow: str = parameter(
        EngineConfig.flow,
        f"What estimates optical flow: auto (as the model says), {', '.join(DIS + preset for preset in PRESETS)} or "
        "FILE.onnx of a network",
    )
    image_transport: str = parameter("raw", "raw subscribes to <image>, compressed to <image>/compressed")
    cameras: list[str] = parameter([""], "Names of several cameras; their topics are <name>/image and ~/<name>/label")
    size: list[int] = parameter([0, 0], "Width and height of the network input; 0, 0: as the network was trained")
    max_gap: float = parameter(StreamConfig.max_gap, "Seconds between frames that reset the state", 0.001, 3600.0)
    threads: int = parameter(EngineConfig.threads, "CPU threads of the network; 0: as the engine sees fit", 0, 1024)
    overlay_opacity: float = parameter(OPACITY, "How much of the overlay is label colour", 0.0, 1.0)
    diagnostics_period: float = parameter(1.0, "Seconds between diagnostics", 0.05, 60.0, fixed=True)
    autostart: bool = parameter(True, "Configure and activate the node when it starts", fixed=True)

    def __post_init__(self) -> None:
        require_one_of("image_transport", self.image_transport, TRANSPORTS)

    @property
    def engine_config(self) -> EngineConfig:
        """The part that the engine needs."""
        hysteresis = self.hysteresis if self.hysteresis >= 0 else None
        warped = self.warped > 0 if self.warped >= 0 else None
        machine = self.engine, self.device, self.threads, self.precision
        return EngineConfig(*machine, hysteresis, self.memory, warped, self.flow)

    @property
    def stream(self) -> StreamConfig:
        """The part that the streams need."""
        width, height = self.size if len(self.size) == 2 else (-1, -1)
        return StreamConfig(self.max_gap, (width, height) if any(self.size) else None)


def declare_parameters(node: Node, cls: type[Any]) -> None:
    """Declare each field of the dataclass ``cls`` as a parameter, which cannot change if nothing is said about it."""
    defaults = cls()
    for item in fields(cls):
        node.declare_parameter(item.name, getattr(defaults, item.name), _descriptor(item.metadata, item.type))


def _descriptor(about: Any, kind: object) -> ParameterDescriptor:
    if not about:
        return ParameterDescriptor(read_only=True)
    descriptor = ParameterDescriptor(description=about["text"], read_only=about["fixed"])
    if about["range"] is not None:
        low, high = about["range"]
        if kind == "int":
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return descriptor


def read_parameters(node: Node, cls: type[T]) -> T:
    """Read and check the current values of what was declared. Raises UserError."""
    return cls(**{item.name: _value(node, item) for item in fields(cls)})  # type: ignore[arg-type]


def _value(node: Node, item: Field[Any]) -> Any:
    """The value of a parameter; an empty list of YAML has no type, and reaches rclpy as none."""
    try:
        value = node.get_parameter(item.name).value
    except ParameterUninitializedException:
        if not str(item.type).startswith("list"):
            raise
        value = []
    return value if isinstance(value, str | bool | int | float) else list(value)


def warn_of_unknown(node: Node) -> None:
    """Warn of parameters that were given to the node and that it does not have, such as misspelt ones."""
    _warn_of(node, [name for name in node._parameter_overrides if not name.startswith(QOS_OVERRIDES)])


def warn_of_unknown_qos(node: Node) -> None:
    """Do so for QoS of topics, once these are created: a topic that cannot be overridden, or another policy."""
    _warn_of(node, [name for name in node._parameter_overrides if name.startswith(QOS_OVERRIDES)])


def _warn_of(node: Node, given: Sequence[str]) -> None:
    for name in given:
        if not node.has_parameter(name):
            known = list(node.get_parameters_by_prefix(""))
            nearest = "".join(f"; did you mean '{word}'?" for word in get_close_matches(name, known, 1))
            node.get_logger().warning(f"unknown parameter '{name}' is ignored{nearest}")


def usage(name: str, cls: type[Any]) -> str:
    """What ``--help`` of the node ``name`` says; ``cls`` is the dataclass of its parameters."""
    lines = (
        f"  {item.name} ({getattr(cls(), item.name)!r}){': ' if item.metadata else ''}{item.metadata.get('text', '')}"
        for item in fields(cls)
    )
    return "\n".join([
        f"usage: {name}_node [--ros-args -p PARAMETER:=VALUE --params-file FILE -r TOPIC:=NEW_NAME ...]",
        "",
        "parameters and their defaults:",
        *lines,
        "",
        f"topics and services: ros2 node info /{name}, and the README",
    ])  # fmt: skip

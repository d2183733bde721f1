"""Which engine runs a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from vidseg_ros.checkpoints.checkpoint import Checkpoint, load_checkpoint
from vidseg_ros.engines.base import Engine
from vidseg_ros.engines.config import ENGINE_PRECISIONS, EngineConfig
from vidseg_ros.engines.torch import find_device
from vidseg_ros.errors import UserError


@dataclass(frozen=True)
class Runtime:
    """Where an engine lives, and what it can do."""

    module: str
    engine: str  # class
    devices: tuple[str, ...] = ("cpu",)
    precisions: tuple[str, ...] = ENGINE_PRECISIONS
    needs: tuple[str, ...] = ()  # packages beside torch
    extra: str = ""  # of this package, which brings them


ONNX = ("onnxruntime", "onnx", "onnxscript")
RUNTIMES = {
    "torch": Runtime("torch", "TorchEngine", ("cpu", "cuda")),
    "compiled": Runtime("torch", "CompiledEngine", ("cpu", "cuda")),
    "openvino": Runtime(
        "openvino", "OpenVinoEngine", precisions=("f32", "bf16"), needs=("openvino",), extra="openvino"
    ),
    "cudagraph": Runtime("cudagraph", "CudaGraphEngine", ("cuda",)),
    "tensorrt": Runtime("onnxruntime", "TensorRtEngine", ("cuda",), needs=ONNX, extra="onnx"),
    "onnxruntime": Runtime("onnxruntime", "OnnxRuntimeEngine", precisions=("f32",), needs=ONNX, extra="onnx"),
}
FASTEST = {"cpu": ("openvino", "torch"), "cuda": ("cudagraph", "torch")}
"""What ``auto`` tries, for each kind of device (docs/engines.md)."""


FILES = {
    ".onnx": ("onnxruntime", "OnnxFile"),
    ".xml": ("openvino", "OpenVinoFile"),
    ".trt": ("tensorrt", "TensorRtFile"),
}
"""Of ``vidseg export``: the engine that runs each kind, and its class."""


def open_model(model: str, config: EngineConfig, say: Callable[[str], None] = lambda line: None) -> Engine:
    """Return what runs ``model``: a checkpoint (see ``load_checkpoint``), or a file of ``vidseg export``.

    Raises UserError for a file that is missing or of another kind, and as ``open_engine`` does.
    """
    if Path(model).suffix not in FILES:
        return open_engine(load_checkpoint(model), config, say)
    name, engine = FILES[Path(model).suffix]
    if config.engine not in ("auto", name):
        raise UserError(f"engine '{config.engine}' does not run '{model}'; use {name} or auto")
    if not Path(model).is_file():
        raise UserError(f"model '{model}' does not exist; write it with: vidseg export")
    config = replace(config, device=RUNTIMES[name].devices[0] if config.device == "auto" else config.device)
    _require(name, config)
    return getattr(_module(name), engine)(Path(model), config)  # type: ignore[no-any-return]


def open_engine(checkpoint: Checkpoint, config: EngineConfig, say: Callable[[str], None] = lambda line: None) -> Engine:
    """Return the engine that ``config`` names; ``say`` hears in one line why ``auto`` takes a slower one.

    Raises UserError for an engine that is not installed, or not for the device.
    """
    device = find_device(config.device)
    config = replace(config, device=str(device))
    if config.engine != "auto":
        return _open(config.engine, checkpoint, config)
    for name in FASTEST[device.type]:
        try:
            return _open(name, checkpoint, config)
        except UserError as error:
            say(f"{error}; trying the next engine")
    raise UserError(f"no engine runs on device '{device}' with precision {config.precision}; try precision f32")


def require_installed(name: str) -> None:
    """Raise UserError where what an engine needs is missing."""
    runtime = RUNTIMES[name]
    missing = [need for need in runtime.needs if find_spec(need) is None]
    if missing:
        remedy = f"pip install 'vidseg_ros[{runtime.extra}]'"
        raise UserError(f"engine '{name}' needs {missing[0]}; install it with: {remedy}")


def _require(name: str, config: EngineConfig) -> None:
    """Raise UserError where an engine cannot do what ``config`` asks for, or is not installed."""
    runtime = RUNTIMES[name]
    for what, wanted, offered in (
        ("device", config.device.split(":")[0], runtime.devices),
        ("precision", config.precision, runtime.precisions),
    ):
        if wanted not in offered:
            raise UserError(f"engine '{name}' does not run with {what} '{wanted}'; use one of {', '.join(offered)}")
    require_installed(name)


def _module(name: str) -> ModuleType:
    return import_module(f"vidseg_ros.engines.{RUNTIMES[name].module}")


def _open(name: str, checkpoint: Checkpoint, config: EngineConfig) -> Engine:
    _require(name, config)
    return getattr(_module(name), RUNTIMES[name].engine)(checkpoint, config)  # type: ignore[no-any-return]

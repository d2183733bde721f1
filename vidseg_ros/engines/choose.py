"""Which engine runs a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec

from vidseg_ros.checkpoint import Checkpoint
from vidseg_ros.config import EngineConfig
from vidseg_ros.engines.base import Engine
from vidseg_ros.engines.torch import find_device
from vidseg_ros.errors import UserError

RUNTIMES = {  # engine: module, class, the kind of device, what it needs beside torch, the extra that brings it
    "torch": ("torch", "TorchEngine", ("cpu", "cuda"), (), ""),
    "compiled": ("torch", "CompiledEngine", ("cpu", "cuda"), (), ""),
    "openvino": ("openvino", "OpenVinoEngine", ("cpu",), ("openvino",), "openvino"),
    "cudagraph": ("cudagraph", "CudaGraphEngine", ("cuda",), (), ""),
    "tensorrt": ("onnxruntime", "TensorRtEngine", ("cuda",), ("onnxruntime", "onnx", "onnxscript"), "onnx"),
    "onnxruntime": ("onnxruntime", "OnnxRuntimeEngine", ("cpu",), ("onnxruntime", "onnx", "onnxscript"), "onnx"),
}
FASTEST = {"cpu": ("openvino", "torch"), "cuda": ("cudagraph", "torch")}
"""What ``auto`` tries, for each kind of device (docs/engines.md)."""


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
    *_, needs, extra = RUNTIMES[name]
    missing = [need for need in needs if find_spec(need) is None]
    if missing:
        raise UserError(f"engine '{name}' needs {missing[0]}; install it with: pip install 'vidseg_ros[{extra}]'")


def _open(name: str, checkpoint: Checkpoint, config: EngineConfig) -> Engine:
    module, engine, devices, *_ = RUNTIMES[name]
    if config.device.split(":")[0] not in devices:
        raise UserError(f"engine '{name}' does not run on device '{config.device}'; use one of {', '.join(devices)}")
    require_installed(name)
    return getattr(import_module(f"vidseg_ros.engines.{module}"), engine)(checkpoint, config)  # type: ignore[no-any-return]

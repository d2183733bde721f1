"""The ONNX Runtime engines: CPU, and TensorRT for NVIDIA GPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from vidseg_ros.checkpoint import Checkpoint
from vidseg_ros.config import EngineConfig
from vidseg_ros.engines.cache import cache_folder
from vidseg_ros.engines.exported import Arrays, ExportedEngine, FileEngine, Session, unreadable
from vidseg_ros.engines.onnx import to_onnx
from vidseg_ros.engines.step import ExportStep
from vidseg_ros.errors import UserError

CPU = "CPUExecutionProvider"
DTYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}


def session_options(config: EngineConfig) -> onnxruntime.SessionOptions:
    """Return how ONNX Runtime shall run a model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = config.threads
    options.log_severity_level = 3
    return options


def as_session(model: onnxruntime.InferenceSession, outputs: Sequence[str] | None = None) -> Session:
    """Return the model as a session that returns all outputs, or some."""
    names = [item.name for item in model.get_inputs()]

    def session(arrays: Arrays) -> Arrays:
        return model.run(outputs, dict(zip(names, arrays, strict=True)))  # type: ignore[no-any-return]

    return session


class OnnxRuntimeEngine(ExportedEngine):
    """ONNX Runtime on the CPU."""

    remedy = "pip install onnxruntime"
    provider = CPU

    def __init__(self, checkpoint: Checkpoint, config: EngineConfig) -> None:
        super().__init__(checkpoint, config)
        if self.provider not in onnxruntime.get_available_providers():
            raise UserError(f"engine '{config.engine}' needs an ONNX Runtime with {self.provider}; {self.remedy}")
        self.providers: list[Any] = [self.provider]
        self.options = session_options(config)

    def _convert(self, step: ExportStep, batch: int) -> Session:
        return as_session(onnxruntime.InferenceSession(to_onnx(step), self.options, providers=self.providers))


class OnnxFile(FileEngine):
    """A .onnx file."""

    def _read(self, path: Path, config: EngineConfig) -> Mapping[str, Any]:
        try:
            self.model = onnxruntime.InferenceSession(str(path), session_options(config), providers=[CPU])
        except Exception as error:  # many kinds, none of them Python's
            raise unreadable(path, error) from error
        return self.model.get_modelmeta().custom_metadata_map  # type: ignore[no-any-return]

    def _start(self, batch: int, confidence: bool) -> tuple[Session, Arrays]:
        blank = [np.zeros((1, *port.shape[1:]), DTYPES[port.type]) for port in self.model.get_inputs()[2:]]
        wanted = [port.name for port in self.model.get_outputs() if confidence or port.name != "confidence"]
        return as_session(self.model, wanted), blank


class TensorRtEngine(OnnxRuntimeEngine):
    """TensorRT through ONNX; what it cannot take runs on CUDA. Its plans are kept in the cache folder of the user."""

    provider = "TensorrtExecutionProvider"
    remedy = "pip install onnxruntime-gpu and TensorRT, or use engine cudagraph"

    def __init__(self, checkpoint: Checkpoint, config: EngineConfig) -> None:
        super().__init__(checkpoint, config)
        device = int(config.device.partition(":")[2] or 0)
        settings = {
            "device_id": device,
            "trt_fp16_enable": config.precision == "f16",
            "trt_bf16_enable": config.precision == "bf16",
            "trt_engine_cache_enable": True,
            "trt_engine_cache_path": str(cache_folder()),
        }
        self.providers = [(self.provider, settings), ("CUDAExecutionProvider", {"device_id": device})]

"""The ONNX Runtime engines: CPU, and TensorRT for NVIDIA GPUs."""

from __future__ import annotations

from typing import Any

import onnxruntime

from vidseg_ros.checkpoint import Checkpoint
from vidseg_ros.config import EngineConfig
from vidseg_ros.engines.cache import cache_folder
from vidseg_ros.engines.exported import Arrays, ExportedEngine, Session
from vidseg_ros.engines.onnx import to_onnx
from vidseg_ros.engines.step import ExportStep
from vidseg_ros.errors import UserError


class OnnxRuntimeEngine(ExportedEngine):
    """ONNX Runtime on the CPU."""

    remedy = "pip install onnxruntime"
    provider = "CPUExecutionProvider"

    def __init__(self, checkpoint: Checkpoint, config: EngineConfig) -> None:
        super().__init__(checkpoint, config)
        if self.provider not in onnxruntime.get_available_providers():
            raise UserError(f"engine '{config.engine}' needs an ONNX Runtime with {self.provider}; {self.remedy}")
        self.providers: list[Any] = [self.provider]
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = config.threads
        self.options.log_severity_level = 3

    def _open(self, step: ExportStep, batch: int) -> Session:
        model = onnxruntime.InferenceSession(to_onnx(step), self.options, providers=self.providers)
        names = [item.name for item in model.get_inputs()]

        def session(arrays: Arrays) -> Arrays:
            return model.run(None, dict(zip(names, arrays, strict=True)))  # type: ignore[no-any-return]

        return session


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

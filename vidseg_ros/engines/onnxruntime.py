"""The ONNX Runtime engines: CPU, and TensorRT for NVIDIA GPUs."""

from __future__ import annotations

import onnxruntime

from vidseg_ros.checkpoint import Checkpoint
from vidseg_ros.config import EngineConfig
from vidseg_ros.engines.exported import Arrays, ExportedEngine, Session
from vidseg_ros.engines.onnx import to_onnx
from vidseg_ros.engines.step import ExportStep


class OnnxRuntimeEngine(ExportedEngine):
    """ONNX Runtime on the CPU."""

    providers: tuple[str, ...] = ("CPUExecutionProvider",)

    def __init__(self, checkpoint: Checkpoint, config: EngineConfig) -> None:
        super().__init__(checkpoint, config)
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = config.threads
        self.options.log_severity_level = 3

    def _open(self, step: ExportStep) -> Session:
        model = onnxruntime.InferenceSession(to_onnx(step), self.options, providers=list(self.providers))
        names = [item.name for item in model.get_inputs()]

        def session(arrays: Arrays) -> Arrays:
            return model.run(None, dict(zip(names, arrays, strict=True)))  # type: ignore[no-any-return]

        return session

"""The ONNX Runtime engines: CPU, and TensorRT for NVIDIA GPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.engines.base import Arrays, Clips, Exported, Session
from vidseg_ros.engines.cache import cache_folder, converted
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.exported import ExportedEngine, FileEngine, unreadable
from vidseg_ros.engines.onnx import to_onnx
from vidseg_ros.engines.seal import BLANK, SEAL, require_whole, sealed
from vidseg_ros.engines.step import ExportStep
from vidseg_ros.errors import UserError
from vidseg_ros.files import write_atomic

CPU = "CPUExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
PLANNED = (1, 1, 8)  # frames in a batch of a TensorRT plan: the fewest, the usual, the most
DTYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}


def session_options(config: EngineConfig) -> onnxruntime.SessionOptions:
    """Options of ONNX Runtime for a model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = config.threads
    options.log_severity_level = 3
    return options


def require_provider(provider: str, engine: str, remedy: str) -> None:
    """Raise UserError where ONNX Runtime was built without a provider."""
    if provider not in onnxruntime.get_available_providers():
        raise UserError(f"engine '{engine}' needs an ONNX Runtime with {provider}; {remedy}")


def tensorrt(config: EngineConfig, **settings: Any) -> list[Any]:
    """Providers for TensorRT, with its ``settings``; what it cannot take runs on CUDA."""
    device = int(config.device.partition(":")[2] or 0)
    settings |= {
        "device_id": device,
        "trt_fp16_enable": config.precision == "f16",
        "trt_bf16_enable": config.precision == "bf16",
    }
    return [(TENSORRT, settings), ("CUDAExecutionProvider", {"device_id": device})]


def plan(model: bytes, shapes: Mapping[str, Sequence[int]], path: Path) -> onnxruntime.InferenceSession:
    """Let TensorRT plan an ONNX model for the GPU that is here, write that to ``path`` and return what runs it.

    shapes: of the inputs, behind the batch. The file is an ONNX model of one node, which holds the plan.
    """
    require_provider(TENSORRT, "tensorrt", TensorRtEngine.remedy)
    profile = {
        f"trt_profile_{which}_shapes": ",".join(
            f"{name}:{'x'.join(map(str, (batch, *shape)))}" for name, shape in shapes.items()
        )
        for which, batch in zip(("min", "opt", "max"), PLANNED, strict=True)
    }
    options = session_options(EngineConfig())
    for key, value in {"enable": "1", "embed_mode": "1", "file_path": str(path)}.items():
        options.add_session_config_entry(f"ep.context_{key}", value)
    return onnxruntime.InferenceSession(model, options, providers=tensorrt(EngineConfig(), **profile))


def as_session(model: onnxruntime.InferenceSession, outputs: Sequence[str] | None = None) -> Session:
    """The model as a session that returns all outputs, or some."""
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
        require_provider(self.provider, config.engine, self.remedy)
        self.providers: list[Any] = [self.provider]
        self.options = session_options(config)

    def _convert(self, step: ExportStep, batch: int) -> Session:
        model = converted(step, f"onnx, torch {torch.__version__}", to_onnx, bytes, bytes)
        return as_session(onnxruntime.InferenceSession(model, self.options, providers=self.providers))


class OnnxFile(FileEngine):
    """A .onnx file."""

    def _providers(self, config: EngineConfig) -> list[Any]:
        return [CPU]

    def _read(self, path: Path, config: EngineConfig) -> Mapping[str, Any]:
        providers = self._providers(config)
        try:
            data = path.read_bytes()
            self.model = onnxruntime.InferenceSession(data, session_options(config), providers=providers)
        except Exception as error:  # many kinds, none of them Python's
            raise unreadable(path, error) from error
        about: dict[str, str] = self.model.get_modelmeta().custom_metadata_map
        require_whole(path, about.get(SEAL), data)
        return about

    def _start(self, batch: int, confidence: bool) -> tuple[Session, Arrays]:
        state = self.model.get_inputs()[3 if self.flow else 2 :]
        blank = [np.zeros((1, *port.shape[1:]), DTYPES[port.type]) for port in state]
        wanted = [port.name for port in self.model.get_outputs() if confidence or port.name != "confidence"]
        return as_session(self.model, wanted), blank

    def close(self) -> None:
        """Give memory back, that of the file too; the engine is of no more use."""
        super().close()
        vars(self).pop("model", None)


class TensorRtEngine(OnnxRuntimeEngine):
    """TensorRT through ONNX; what it cannot take runs on CUDA. Its plans are kept in the cache folder of the user."""

    provider = TENSORRT
    remedy = "pip install onnxruntime-gpu and TensorRT, or use engine cudagraph"

    def __init__(self, checkpoint: Checkpoint, config: EngineConfig) -> None:
        super().__init__(checkpoint, config)
        self.providers = tensorrt(config, trt_engine_cache_enable=True, trt_engine_cache_path=str(cache_folder()))


class TensorRtFile(OnnxFile):
    """A .trt file: the plan of ``plan``, for one kind of GPU and one version of TensorRT."""

    def _providers(self, config: EngineConfig) -> list[Any]:
        require_provider(TENSORRT, "tensorrt", TensorRtEngine.remedy)
        return tensorrt(config)


def write_onnx(step: ExportStep, about: dict[str, str], clips: Clips) -> Exported:
    """A step as an ONNX model."""
    data = _told(onnx.load_from_string(to_onnx(step)), about)
    return as_session(onnxruntime.InferenceSession(data, providers=[CPU])), lambda path: write_atomic(path, data)


def write_tensorrt(step: ExportStep, about: dict[str, str], clips: Clips) -> Exported:
    """A step as a plan of TensorRT for the GPU that is here."""
    shapes = {name: tensor.shape[1:] for name, tensor in zip(step.names()[0], step.example(1), strict=True)}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "plan.onnx"
        session = plan(to_onnx(step), shapes, path)
        data = _told(onnx.load(path), about)
    return as_session(session), lambda path: write_atomic(path, data)


def _told(model: onnx.ModelProto, about: dict[str, str]) -> bytes:
    """An ONNX model that says what it is, and has a checksum."""
    for key, value in (about | {SEAL: BLANK}).items():
        model.metadata_props.add(key=key, value=value)
    return sealed(model.SerializeToString())

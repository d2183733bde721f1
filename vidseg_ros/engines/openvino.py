"""The OpenVINO engine, for CPUs."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from threading import Lock
from typing import Any

import numpy as np
import openvino
import torch

from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.engines.base import Arrays, Clips, Exported, Session
from vidseg_ros.engines.cache import converted
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.exported import ABOUT, ExportedEngine, FileEngine, unreadable
from vidseg_ros.engines.seal import BLANK, SEAL, require_whole, sealed
from vidseg_ros.engines.step import ExportStep, InferenceStep
from vidseg_ros.errors import UserError, describe
from vidseg_ros.files import write_atomic

ANY = -1  # number of frames
OWNER = "vidseg_ros"  # of what a file says of itself
LENGTH = "<Q"  # of the text of a model, before it in the cache


def settings(config: EngineConfig) -> dict[str, Any]:
    """Settings of OpenVINO for compiling a model."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": config.precision,  # left alone, it takes bf16 where the CPU has it
        # left alone, it takes one thread a physical core, half of what a virtual machine has
        "INFERENCE_NUM_THREADS": config.threads or len(os.sched_getaffinity(0)),
        "ENABLE_CPU_PINNING": False,  # a neighbour on a pinned core stalls the step
    }


@cache
def core() -> openvino.Core:
    """The one core of this process, which lives as long as it does.

    A core gives its thread another stack for handlers of signals and puts the one before back when it goes. Of two
    cores the younger may put back what the older one has freed by then: the next signal, be it an interrupt,
    ends the process without a word.
    """
    return openvino.Core()


def open_session(model: openvino.Model, how: dict[str, Any]) -> Session:
    """Compile a model; one request is enough, since steps come one after another."""
    request, one_at_a_time = core().compile_model(model, "CPU", how).create_infer_request(), Lock()

    def session(arrays: Arrays) -> Arrays:
        with one_at_a_time:  # else a thread gets what another one asked for: the node may warm up beside its steps
            # the arrays live until the request is over, so the runtime may read them in place
            results = request.infer(list(arrays), share_inputs=True)
            return [results[i] for i in range(len(results))]

    return session


class OpenVinoEngine(ExportedEngine):
    """OpenVINO on the CPU."""

    def __init__(self, checkpoint: Checkpoint, config: EngineConfig) -> None:
        super().__init__(checkpoint, config)
        self.settings, self.batches = settings(config), config.precision != "f32"
        self._models: dict[tuple[int, int], openvino.Model] = {}  # by (height, width)

    def _convert(self, step: ExportStep, batch: int) -> Session:
        """Convert once for a frame size, which takes seconds, and leave confidence out where nobody asks."""
        if step.size not in self._models:
            whole = InferenceStep(self.network, True, self.inference)
            self._models[step.size] = converted(
                ExportStep(whole, *step.size), openvino.__version__, convert, packed, unpacked
            )
        model = self._models[step.size].clone()
        if not step.step.confidence:
            model.remove_result(model.outputs[1].node)
        set_batch(model, batch)  # kernels for a batch of any size take half as long again
        return open_session(model, self.settings)

    def close(self) -> None:
        """Give memory back, that of the converted networks too; the engine is of no more use."""
        super().close()
        self._models.clear()


class OpenVinoFile(FileEngine):
    """A .xml file with its .bin."""

    def _read(self, path: Path, config: EngineConfig) -> Mapping[str, Any]:
        self.settings = settings(config)
        try:
            model = core().read_model(path)
        except RuntimeError as error:
            raise unreadable(path, error) from error
        keys = [[OWNER, key] for key in (*ABOUT, SEAL)]
        about = {key[1]: model.get_rt_info(key).value for key in keys if model.has_rt_info(key)}
        require_whole(path, about.get(SEAL), path.read_bytes(), path.with_suffix(".bin").read_bytes())
        return about

    def _start(self, batch: int, confidence: bool) -> tuple[Session, Arrays]:
        model = core().read_model(self.path)
        blank = [
            np.zeros((1, *shape(port)), port.element_type.to_dtype()) for port in model.inputs[3 if self.flow else 2 :]
        ]
        set_batch(model, batch)
        if not confidence:
            model.remove_result(model.outputs[1].node)
        return open_session(model, self.settings), blank


def shape(port: openvino.Output) -> list[int]:
    """Shape behind the number of frames."""
    return [dimension.get_length() for dimension in list(port.partial_shape)[1:]]


def set_batch(model: openvino.Model, batch: int) -> None:
    """Fix the number of frames."""
    model.reshape({port: [batch, *port.partial_shape[1:]] for port in model.inputs})


def packed(model: openvino.Model) -> bytes:
    """The two files of a model in one: the length of the first, and both."""
    text, weights = files_of(model)
    return struct.pack(LENGTH, len(text)) + text + weights


def files_of(model: openvino.Model) -> tuple[bytes, bytes]:
    """What an .xml and its .bin hold. Raises UserError where there is no room for temporary files."""
    try:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model.xml"
            openvino.save_model(model, path, compress_to_fp16=False)
            return path.read_bytes(), path.with_suffix(".bin").read_bytes()
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"cannot write a model to '{gettempdir()}' ({describe(error)}); free some space there"
        ) from error


def write_model(model: openvino.Model, path: Path) -> None:
    """Write an .xml and its .bin, each whole or not at all. Raises UserError."""
    text, weights = files_of(model)
    write_atomic(path.with_suffix(".bin"), weights)
    write_atomic(path, sealed(text, weights))


def unpacked(data: bytes) -> openvino.Model:
    """The model of ``packed``."""
    (length,) = struct.unpack_from(LENGTH, data)
    start = struct.calcsize(LENGTH)
    return core().read_model(data[start : start + length], data[start + length :])


def convert(step: ExportStep) -> openvino.Model:
    """The step as a model of any number of frames, with the names that ``ExportStep`` gives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]  # sizes stay
        # traced here, since OpenVINO would trace twice and compare, which takes most of the first start
        traced = torch.jit.trace(step, step.example(1), check_trace=False)  # type: ignore[no-untyped-call]
        model = openvino.convert_model(traced, example_input=step.example(1))
    inputs, outputs = step.names()
    for port, name, tensor in zip(model.inputs, inputs, step.example(1), strict=True):
        port.set_names({name})
        model.reshape({port: [ANY, *tensor.shape[1:]]})
    for port, name in zip(model.outputs, outputs, strict=True):
        port.set_names({name})
    return model


def write_openvino(step: ExportStep, about: dict[str, str], clips: Clips) -> Exported:
    """A step as a model of OpenVINO, with ``clips`` in int8."""
    model, how = convert(step), settings(EngineConfig())
    if clips:
        from vidseg_ros.engines.quantize import quantize  # noqa: PLC0415 - nncf is optional

        model = quantize(model, step, open_session(model, how), clips)
    for key, value in (about | {SEAL: BLANK}).items():
        model.set_rt_info(value, [OWNER, key])
    return open_session(model, how), partial(write_model, model)

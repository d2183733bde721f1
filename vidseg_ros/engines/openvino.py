"""The OpenVINO engine, for CPUs."""

from __future__ import annotations

import os
import warnings
from contextlib import suppress

import openvino
import torch

from vidseg_ros.checkpoint import Checkpoint
from vidseg_ros.config import EngineConfig
from vidseg_ros.engines.cache import cache_folder, cache_key
from vidseg_ros.engines.exported import Arrays, ExportedEngine, Session
from vidseg_ros.engines.step import ExportStep

ANY = -1  # number of frames


class OpenVinoEngine(ExportedEngine):
    """OpenVINO on the CPU; one request a session, since steps come one after another."""

    def __init__(self, checkpoint: Checkpoint, config: EngineConfig) -> None:
        super().__init__(checkpoint, config)
        self.settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": config.precision,  # left alone, it takes bf16 where the CPU has it
            # left alone, it takes one thread a physical core, half of what a virtual machine has
            "INFERENCE_NUM_THREADS": config.threads or len(os.sched_getaffinity(0)),
            "ENABLE_CPU_PINNING": False,  # a neighbour on a pinned core stalls the step
        }

    def _open(self, step: ExportStep, batch: int) -> Session:
        model = _converted(step)
        set_batch(model, batch)  # kernels for a batch of any size take half as long again
        request = openvino.Core().compile_model(model, "CPU", self.settings).create_infer_request()

        def session(arrays: Arrays) -> Arrays:
            # the arrays live until the request is over, so the runtime may read them in place
            results = request.infer(list(arrays), share_inputs=True)
            return [results[i] for i in range(len(results))]

        return session


def set_batch(model: openvino.Model, batch: int) -> None:
    """Fix the number of frames."""
    model.reshape({port: [batch, *port.partial_shape[1:]] for port in model.inputs})


def _converted(step: ExportStep) -> openvino.Model:
    """Return the model from the cache of an earlier start, where there is one: converting takes seconds."""
    path = cache_folder() / f"{cache_key(step, openvino.__version__)}.xml"
    if path.is_file():
        with suppress(RuntimeError):  # a damaged file is made again
            return openvino.Core().read_model(path)
    model = convert(step)
    with suppress(OSError, RuntimeError):  # a read-only home is no reason to stop
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.xml")
        openvino.save_model(model, partial, compress_to_fp16=False)
        partial.with_suffix(".bin").replace(path.with_suffix(".bin"))
        partial.replace(path)  # the last of the two: who sees it finds both
    return model


def convert(step: ExportStep) -> openvino.Model:
    """Return the step as a model of any number of frames, with the names that ``ExportStep`` gives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]  # sizes stay
        model = openvino.convert_model(step, example_input=step.example(1))
    inputs, outputs = step.names()
    for port, name, tensor in zip(model.inputs, inputs, step.example(1), strict=True):
        port.set_names({name})
        model.reshape({port: [ANY, *tensor.shape[1:]]})
    for port, name in zip(model.outputs, outputs, strict=True):
        port.set_names({name})
    return model

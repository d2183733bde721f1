"""The CUDA graph engine: a whole step is one launch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.step import InferenceStep
from vidseg_ros.engines.torch import TorchEngine

WARM_UP = 3  # runs before the recording, in which libraries choose their kernels


class CudaGraphEngine(TorchEngine):
    """Records the kernels of a step once for each batch and frame size, and plays them back."""

    def __init__(self, checkpoint: Checkpoint, config: EngineConfig | None = None) -> None:
        super().__init__(checkpoint, config)
        self._graphs: dict[tuple[object, ...], Graph] = {}

    def _run(self, step: InferenceStep, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        key = (given[0].shape, step.confidence)
        if key not in self._graphs:
            self._graphs[key] = Graph(step, given)
        return self._graphs[key](*given)

    def close(self) -> None:
        """Give the memory of the device back; the engine is of no more use."""
        self._graphs.clear()
        super().close()


class Graph:
    """A recorded step with buffers of its own for everything that goes in and comes out."""

    def __init__(self, step: InferenceStep, example: Sequence[Tensor]) -> None:
        self.inputs = [tensor.clone() for tensor in example]
        self.replay, self.outputs = record(step, self.inputs)

    def __call__(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Run the step on copies: the next run overwrites what is in the buffers."""
        for buffer, tensor in zip(self.inputs, given, strict=True):
            buffer.copy_(tensor)
        with on_device_of(self.inputs):
            self.replay()
            return tuple(tensor.clone() for tensor in self.outputs)


def on_device_of(inputs: Sequence[Tensor]) -> AbstractContextManager[Any]:
    """Make the GPU of the tensors the current one: streams and graphs are of no other."""
    device = inputs[0].device
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def record(step: InferenceStep, inputs: Sequence[Tensor]) -> tuple[Callable[[], None], Sequence[Tensor]]:
    """Capture the step on ``inputs`` as a CUDA graph; returns what repeats it, and where its results then stand."""
    with on_device_of(inputs):
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                step(*inputs)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = step(*inputs)
    return graph.replay, outputs

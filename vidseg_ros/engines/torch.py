"""The PyTorch engines, on CPU or GPU."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.engines.base import Arrays, Clips, Exported, Flow, Prediction, in_turn, join, require_flow, split
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.step import ExportStep, InferenceStep, flow_of, inference_of
from vidseg_ros.errors import UserError
from vidseg_ros.files import write_atomic
from vidseg_ros.networks import State
from vidseg_ros.networks.subpixels import whole

ALL_THREADS = torch.get_num_threads()
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def find_device(name: str) -> torch.device:
    """Device called ``name``; ``auto`` is the first GPU, or the CPU. Raises UserError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, ImportError) as error:
        here = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise UserError(f"device '{name}' is not here; use auto or one of {', '.join(here)}") from error
    return device


class TorchEngine:
    """Eager PyTorch in channels-last layout."""

    def __init__(self, checkpoint: Checkpoint, config: EngineConfig | None = None) -> None:
        config = config or EngineConfig()
        self.device = find_device(config.device)
        torch.set_num_threads(config.threads or ALL_THREADS)
        self.labels = checkpoint.labels
        self.input_size = checkpoint.network.config.input.size
        self.dtype = DTYPES[config.precision]
        self.network, self.inference = checkpoint.network, inference_of(checkpoint, config)
        self.flow = flow_of(self.network, self.inference)
        self._steps: dict[bool, InferenceStep] = {}
        self._plain: InferenceStep | None = None

    @torch.inference_mode()
    def step(
        self,
        frames: NDArray[np.uint8],
        states: Sequence[State | None],
        confidence: bool = False,
        flow: Flow | None = None,
    ) -> tuple[Prediction, list[State]]:
        """Segment one frame of each stream: see ``Engine.step``."""
        if len(frames) > 1 and self.device.type == "cpu":
            return in_turn(self._step_batch, frames, states, confidence, flow)
        return self._step_batch(frames, states, confidence, flow)

    def _step_batch(
        self, frames: NDArray[np.uint8], states: Sequence[State | None], confidence: bool, flow: Flow | None
    ) -> tuple[Prediction, list[State]]:
        """Take all streams in one batch."""
        step = self._step(confidence)
        known = [step.initial_state(*frames.shape[1:3]) if state is None else state for state in states]
        flows = require_flow(frames, flow, states, step.needs_flow)
        given = [torch.from_numpy(a).to(self.device) for a in (frames, *flows)]
        labels, *rest = self._run(step, (*given, *join(known, _concatenate)))
        certainty = rest.pop(0).cpu().numpy() if confidence else None
        return Prediction(labels.cpu().numpy(), certainty), split(rest, len(frames))

    @torch.inference_mode()
    def probabilities(
        self, frame: NDArray[np.uint8], state: State | None, flow: Flow | None = None
    ) -> tuple[Tensor, State]:
        """Advance one stream by a frame (1, H, W, 3), without hysteresis, for work that is not live.

        Returns class probabilities, float32 (classes, H, W) on the device, and the new state.
        """
        if self._plain is None:
            plain = replace(self.inference, hysteresis=0.0)
            self._plain = InferenceStep(self.network, inference=plain).to(self.device, self.dtype)
        height, width = frame.shape[1:3]
        flows = require_flow(frame, flow, [state], self._plain.needs_flow)
        given = [torch.from_numpy(a).to(self.device) for a in (frame, *flows)]
        state = self._plain.initial_state(height, width) if state is None else state
        planes, after = self._plain.logits(*given, *state)
        return whole([logits.float().softmax(1) for logits in planes], height, width)[0], after

    def _run(self, step: InferenceStep, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return step(*given)  # type: ignore[no-any-return]

    def _step(self, confidence: bool) -> InferenceStep:
        """Network with or without confidence, made when first asked for."""
        if confidence not in self._steps:
            step = InferenceStep(self.network, confidence, self.inference).to(self.device, self.dtype)
            self._steps[confidence] = step.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self._steps[confidence]

    def close(self) -> None:
        """Give the memory of the device back; the engine is of no more use."""
        self._steps.clear()
        self._plain = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _concatenate(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts))


class CompiledEngine(TorchEngine):
    """torch.compile: needs a C++ compiler on a CPU, and patience at the first frame of each size."""

    def _step(self, confidence: bool) -> InferenceStep:
        new = confidence not in self._steps
        step = super()._step(confidence)
        if new:
            step.compile(dynamic=False)
        return step


def write_torch_export(step: ExportStep, about: dict[str, str], clips: Clips) -> Exported:
    """A step as a program of ``torch.export``."""
    example = step.example(2)  # one frame would become a constant
    program = torch.export.export(step, example, dynamic_shapes=step.dynamic_shapes(), strict=False)
    module = program.module()

    def session(arrays: Arrays) -> Arrays:
        with torch.inference_mode():
            return [t.numpy() for t in module(*(torch.from_numpy(a.copy()) for a in arrays))]

    def write(path: Path) -> None:
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files=about)
        write_atomic(path, buffer.getvalue())

    return session, write

"""The PyTorch engines, on CPU or GPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.engines.base import Prediction, in_turn, join, split
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.step import InferenceStep, hysteresis_of
from vidseg_ros.errors import UserError
from vidseg_ros.networks import State

ALL_THREADS = torch.get_num_threads()
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def find_device(name: str) -> torch.device:
    """Return the device ``name``; ``auto`` is the first GPU, or the CPU. Raises UserError for one that is not there."""
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
        self.network, self.hysteresis = checkpoint.network, hysteresis_of(checkpoint, config)
        self._steps: dict[bool, InferenceStep] = {}

    @torch.inference_mode()
    def step(
        self, frames: NDArray[np.uint8], states: Sequence[State | None], confidence: bool = False
    ) -> tuple[Prediction, list[State]]:
        """Segment one frame of each stream: see ``Engine.step``."""
        if len(frames) > 1 and self.device.type == "cpu":
            return in_turn(self._step_batch, frames, states, confidence)
        return self._step_batch(frames, states, confidence)

    def _step_batch(
        self, frames: NDArray[np.uint8], states: Sequence[State | None], confidence: bool
    ) -> tuple[Prediction, list[State]]:
        """Take all streams in one batch."""
        step = self._step(confidence)
        known = [step.initial_state(*frames.shape[1:3]) if state is None else state for state in states]
        labels, *rest = self._run(step, torch.from_numpy(frames).to(self.device), tuple(join(known, _concatenate)))
        certainty = rest.pop(0).cpu().numpy() if confidence else None
        return Prediction(labels.cpu().numpy(), certainty), split(rest, len(frames))

    def _run(self, step: InferenceStep, frames: Tensor, state: State) -> tuple[Tensor, ...]:
        return step(frames, *state)  # type: ignore[no-any-return]

    def _step(self, confidence: bool) -> InferenceStep:
        """Return the network with or without confidence, made when first asked for."""
        if confidence not in self._steps:
            step = InferenceStep(self.network, confidence, self.hysteresis).to(self.device, self.dtype)
            self._steps[confidence] = step.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self._steps[confidence]

    def close(self) -> None:
        """Give the memory of the device back; the engine is of no more use."""
        self._steps.clear()
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

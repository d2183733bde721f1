"""The PyTorch engine, on CPU or GPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from vidseg_ros.checkpoint import Checkpoint
from vidseg_ros.engines.base import Prediction
from vidseg_ros.errors import UserError
from vidseg_ros.networks import State

ALL_THREADS = torch.get_num_threads()


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

    def __init__(self, checkpoint: Checkpoint, device: str = "auto", threads: int = 0) -> None:
        self.device = find_device(device)
        torch.set_num_threads(threads or ALL_THREADS)
        self.labels = checkpoint.labels
        self.input_size = checkpoint.network.config.input.size
        self.network = checkpoint.network.to(self.device).eval()
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def step(
        self, frames: NDArray[np.uint8], states: Sequence[State | None], confidence: bool = False
    ) -> tuple[Prediction, list[State]]:
        """Segment one frame of each stream: see ``Engine.step``."""
        batch = torch.from_numpy(frames).to(self.device).permute(0, 3, 1, 2)
        logits, state = self.network(batch, self._join(states, frames.shape[1], frames.shape[2]))
        labels = logits.argmax(1).to(torch.uint8).cpu().numpy()
        certainty = None
        if confidence:
            certainty = logits.softmax(1).amax(1).mul(255).round().to(torch.uint8).cpu().numpy()
        return Prediction(labels, certainty), [tuple(t[i : i + 1] for t in state) for i in range(len(frames))]

    def close(self) -> None:
        """Give the memory of the device back; the engine is of no more use."""
        del self.network
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _join(self, states: Sequence[State | None], height: int, width: int) -> State:
        """Batch the states of all streams, fresh ones included."""
        known = [self.network.initial_state(1, height, width) if s is None else s for s in states]
        return known[0] if len(known) == 1 else tuple(torch.cat(parts) for parts in zip(*known, strict=True))

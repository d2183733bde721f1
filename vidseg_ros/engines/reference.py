"""The yardstick of benchmarks: the network as its public code runs it. Not for use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.engines.base import Flow, Prediction, require_flow
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.step import flow_of
from vidseg_ros.engines.torch import find_device
from vidseg_ros.networks import State


class ReferenceEngine:
    """The plain module, eager, softmax over all classes at full resolution; one stream."""

    def __init__(self, checkpoint: Checkpoint, config: EngineConfig) -> None:
        self.device = find_device(config.device)
        self.labels = checkpoint.labels
        self.input_size = checkpoint.network.config.input.size
        self.network = checkpoint.network.to(self.device).eval()
        self.flow = flow_of(self.network, checkpoint.inference)

    @torch.no_grad()
    def step(
        self,
        frames: NDArray[np.uint8],
        states: Sequence[State | None],
        confidence: bool = False,
        flow: Flow | None = None,
    ) -> tuple[Prediction, list[State]]:
        """Segment one frame: see ``Engine.step``."""
        (state,) = states
        given = require_flow(frames, flow, states, self.flow is not None)
        motion = torch.from_numpy(given[0]).to(self.device) if given else None
        logits, after = self.network(torch.from_numpy(frames).to(self.device).permute(0, 3, 1, 2), state, motion)
        probabilities = logits.softmax(1)
        certainty, labels = probabilities.max(1)
        chosen = certainty.mul(255).round().to(torch.uint8).cpu().numpy() if confidence else None
        return Prediction(labels.to(torch.uint8).cpu().numpy(), chosen), [after]

    def close(self) -> None:
        """Give memory back; the engine is of no more use."""
        del self.network

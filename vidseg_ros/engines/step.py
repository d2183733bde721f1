"""What all engines run: the network for inference, with the decision for a label inside."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.labels import IGNORE
from vidseg_ros.networks import State, StreamingNetwork
from vidseg_ros.networks.streaming import interleave

MOST_FRAMES = 64  # in a batch of an exported file


def hysteresis_of(checkpoint: Checkpoint, config: EngineConfig) -> float:
    """Return the hysteresis that the user wants, or that of the checkpoint."""
    return checkpoint.inference.hysteresis if config.hysteresis is None else config.hysteresis


class InferenceStep(nn.Module):
    """Frames uint8 (N, H, W, 3) and the tensors of a state in; labels uint8 (N, H, W) and the next state out.

    With ``confidence``, the probability of the chosen class, uint8 0..255 (N, H, W), stands behind the labels. With
    ``hysteresis``, a new label must beat the last one by so much in logits, and the last labels are part of the state.
    """

    def __init__(self, network: StreamingNetwork, confidence: bool = False, hysteresis: float = 0.0) -> None:
        super().__init__()
        self.network = network.for_inference()
        self.confidence, self.hysteresis = confidence, hysteresis
        self.state_names = (*network.state_names, *(["last"] if hysteresis else []))

    def forward(self, frames: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Advance one step."""
        height, width = frames.shape[1:3]
        memory = state[: len(self.network.state_names)]
        planes, after = self.network.subpixel_logits(frames.permute(0, 3, 1, 2), memory)
        if self.hysteresis:
            chosen = torch.stack([hold(logits, state[-1][:, i], self.hysteresis) for i, logits in enumerate(planes)], 1)
            after = (*after, chosen)
        else:
            chosen = torch.stack([logits.argmax(1).to(torch.uint8) for logits in planes], 1)
        results = [interleave(chosen, height, width)]
        if self.confidence:
            results.append(interleave(torch.stack([certainty(logits) for logits in planes], 1), height, width))
        return (*results, *after)

    def initial_state(self, height: int, width: int) -> State:
        """Return the state before the first frame of one stream."""
        memory = tuple(t.contiguous() for t in self.network.initial_state(1, height, width))
        if not self.hysteresis:
            return memory
        shape = self.network.subpixel_shape(height, width)
        device = next(self.network.parameters()).device
        return (*memory, torch.full((1, *shape), IGNORE, dtype=torch.uint8, device=device))


def hold(logits: Tensor, last: Tensor, hysteresis: float) -> Tensor:
    """Return the largest of the logits (N, C, h, w), or the last label (N, h, w) where that comes close; uint8."""
    best, chosen = logits.max(1)
    classes = logits.shape[1]
    old = logits.gather(1, last.clamp(max=classes - 1).long().unsqueeze(1)).squeeze(1)
    stays = (old + hysteresis >= best) & (last < classes)
    return torch.where(stays, last, chosen.to(torch.uint8))


def certainty(logits: Tensor) -> Tensor:
    """Return the softmax of the largest of the logits (N, C, h, w) as uint8 0..255 (N, h, w)."""
    return (255 * logits.softmax(1).amax(1)).round().to(torch.uint8)  # OpenVINO is slow at sums over channels in bf16


class ExportStep(nn.Module):
    """``InferenceStep`` for one frame size, with fresh starts inside: ``fresh`` bool (N,) says who begins anew."""

    def __init__(self, step: InferenceStep, height: int, width: int) -> None:
        super().__init__()
        self.step, self.size = step, (height, width)
        for name, tensor in zip(step.state_names, step.initial_state(height, width), strict=True):
            self.register_buffer(f"initial_{name}", tensor.detach().clone())
        self.eval()

    def names(self) -> tuple[list[str], list[str]]:
        """Return the names of the inputs and outputs."""
        states = self.step.state_names
        labels = ["labels", "confidence"] if self.step.confidence else ["labels"]
        return ["frames", "fresh", *states], [*labels, *(f"next_{name}" for name in states)]

    def dynamic_shapes(self) -> tuple[Any, ...]:
        """Return which dimensions of the arguments are free: the number of frames. For an example of two or more."""
        batch = torch.export.Dim("batch", min=1, max=MOST_FRAMES)
        states = tuple({0: batch} for _ in self.step.state_names)
        return ({0: batch}, {0: batch}, *([states] if states else []))

    def example(self, batch: int) -> tuple[Tensor, ...]:
        """Return arguments for ``forward``: black frames and zero states."""
        state = (torch.zeros_like(t).expand(batch, -1, -1, -1).contiguous() for t in self.buffers(recurse=False))
        return torch.zeros(batch, *self.size, 3, dtype=torch.uint8), torch.ones(batch, dtype=torch.bool), *state

    def forward(self, frames: Tensor, fresh: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Advance one step."""
        begins = fresh.view(-1, 1, 1, 1)
        before = [torch.where(begins, first, t) for first, t in zip(self.buffers(recurse=False), state, strict=True)]
        return self.step(frames, *before)  # type: ignore[no-any-return]

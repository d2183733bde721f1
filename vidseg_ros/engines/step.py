"""One step as every runtime runs it: the folded network, what is remembered beside it, and the decision for a label."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from vidseg_ros.checkpoints.checkpoint import Checkpoint, InferenceConfig
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.flow.estimator import FlowConfig
from vidseg_ros.flow.warp import follow_labels
from vidseg_ros.labels import IGNORE
from vidseg_ros.networks import State, StreamingNetwork
from vidseg_ros.networks.flow_memory import FlowMemory
from vidseg_ros.networks.subpixels import deinterleave, interleave

MOST_FRAMES = 64  # in a batch of an exported file


def inference_of(checkpoint: Checkpoint, config: EngineConfig) -> InferenceConfig:
    """What the user wants, or else what the checkpoint says."""
    told = checkpoint.inference
    return replace(
        told,
        hysteresis=told.hysteresis if config.hysteresis is None else config.hysteresis,
        memory=told.memory if config.memory == "auto" else config.memory,
        warped=told.warped if config.warped is None else config.warped,
        flow=told.flow.named(config.flow),
    )


def flow_of(network: StreamingNetwork, inference: InferenceConfig) -> FlowConfig | None:
    """How the flow is estimated that a step takes; None where it takes none."""
    remembered = network.needs_flow or (inference.warped and network.cell is not None)
    wanted = inference.memory == "flow" or inference.warps_labels or (remembered and inference.memory != "off")
    return inference.flow if wanted else None


class InferenceStep(nn.Module):
    """Frames uint8 (N, H, W, 3) and the tensors of a state in; labels uint8 (N, H, W) and the next state out.

    With ``confidence``, the probability of the chosen class, uint8 0..255 (N, H, W), stands behind the labels. With
    hysteresis, a new label must beat the last one by so much in logits, and the last labels are part of the state.
    Where ``needs_flow``, the flow from each pixel to its place in the frame before, float32 pixels (N, 2, H, W),
    follows the frames. With any memory but that of the network, what the network itself remembers along the flow is
    left out.
    """

    def __init__(
        self, network: StreamingNetwork, confidence: bool = False, inference: InferenceConfig | None = None
    ) -> None:
        super().__init__()
        self.inference = inference or InferenceConfig()
        self.needs_flow = flow_of(network, self.inference) is not None
        self.network = network.for_inference()
        if self.inference.memory != "network":
            self.network.propagation = None
        self.network.warps_cell |= self.inference.warped and network.cell is not None
        self.confidence, self.hysteresis = confidence, self.inference.hysteresis
        self.remembers = self.inference.memory != "off"
        self.flow_memory: FlowMemory | None = None
        if self.inference.memory == "flow":
            self.flow_memory = FlowMemory(network.head_channels, network.head.scale, self.inference.flow_memory)
        own = self.network.state_names if self.remembers else ()
        along = self.flow_memory.state_names if self.flow_memory else ()
        self.parts = len(own), len(along)
        self.state_names = (*own, *along, *(["last"] if self.hysteresis else []))

    def logits(self, frames: Tensor, *rest: Tensor) -> tuple[list[Tensor], State]:
        """The first part of a step: ``subpixel_logits``, and the next state but for the last labels."""
        flow, state = (rest[0], rest[1:]) if self.needs_flow else (None, rest)
        rgb = frames.permute(0, 3, 1, 2)
        own, along = state[: self.parts[0]], state[self.parts[0] : sum(self.parts)]
        seen, at = self.network.before_head(rgb, own if self.remembers else None, flow)
        if self.flow_memory is not None:
            seen, along = self.flow_memory(seen, rgb, flow, along)
        return self.network.decide_from(seen, rgb, at), (*(at.state if self.remembers else ()), *along)

    def forward(self, frames: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """Advance one step."""
        height, width = frames.shape[1:3]
        planes, after = self.logits(frames, *rest)
        if self.hysteresis:
            last = self._last(rest, height, width)
            chosen = torch.stack([hold(logits, last[:, i], self.hysteresis) for i, logits in enumerate(planes)], 1)
            after = (*after, chosen)
        else:
            chosen = torch.stack([logits.argmax(1).to(torch.uint8) for logits in planes], 1)
        results = [interleave(chosen, height, width)]
        if self.confidence:
            results.append(interleave(torch.stack([certainty(logits) for logits in planes], 1), height, width))
        return (*results, *after)

    def _last(self, rest: tuple[Tensor, ...], height: int, width: int) -> Tensor:
        """The last labels, in the form of the logits; moved along the flow, where that is wanted."""
        last = rest[-1]
        if not self.inference.warps_labels:
            return last
        moved = follow_labels(interleave(last, height, width), rest[0], IGNORE)
        return deinterleave(moved, *self.network.subpixel_shape(height, width))

    def initial_state(self, height: int, width: int) -> State:
        """The state before the first frame of one stream."""
        weight = next(self.network.parameters())
        own = self.network.initial_state(1, height, width) if self.remembers else ()
        along = self.flow_memory.initial_state(1, height, width) if self.flow_memory else ()
        memory = (*(t.contiguous() for t in own), *(t.to(weight) for t in along))
        if not self.hysteresis:
            return memory
        shape = self.network.subpixel_shape(height, width)
        return (*memory, torch.full((1, *shape), IGNORE, dtype=torch.uint8, device=weight.device))


def hold(logits: Tensor, last: Tensor, hysteresis: float) -> Tensor:
    """The largest of the logits (N, C, h, w), or the last label (N, h, w) where that comes close; uint8."""
    best, chosen = logits.max(1)
    classes = logits.shape[1]
    old = logits.gather(1, last.clamp(max=classes - 1).long().unsqueeze(1)).squeeze(1)
    stays = (old + hysteresis >= best) & (last < classes)
    return torch.where(stays, last, chosen.to(torch.uint8))


def certainty(logits: Tensor) -> Tensor:
    """The softmax of the largest of the logits (N, C, h, w) as uint8 0..255 (N, h, w)."""
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
        """Names of the inputs and outputs."""
        states = self.step.state_names
        labels = ["labels", "confidence"] if self.step.confidence else ["labels"]
        flow = ["flow"] if self.step.needs_flow else []
        return ["frames", "fresh", *flow, *states], [*labels, *(f"next_{name}" for name in states)]

    def dynamic_shapes(self) -> tuple[Any, ...]:
        """Which dimensions of the arguments are free: the number of frames. For an example of two or more."""
        batch = torch.export.Dim("batch", min=1, max=MOST_FRAMES)
        rest = tuple({0: batch} for _ in self.names()[0][2:])
        return ({0: batch}, {0: batch}, *([rest] if rest else []))

    def blank_state(self, batch: int = 1) -> list[Tensor]:
        """A state of any values, for streams that begin anew."""
        return [torch.zeros_like(t).expand(batch, *t.shape[1:]).contiguous() for t in self.buffers(recurse=False)]

    def example(self, batch: int) -> tuple[Tensor, ...]:
        """Arguments for ``forward``: black frames that do not move, and zero states."""
        flow = [torch.zeros(batch, 2, *self.size)] if self.step.needs_flow else []
        frames = torch.zeros(batch, *self.size, 3, dtype=torch.uint8)
        return frames, torch.ones(batch, dtype=torch.bool), *flow, *self.blank_state(batch)

    def forward(self, frames: Tensor, fresh: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """Advance one step."""
        begins = fresh.view(-1, 1, 1, 1)
        flow, state = (rest[:1], rest[1:]) if self.step.needs_flow else ((), rest)
        before = [torch.where(begins, first, t) for first, t in zip(self.buffers(recurse=False), state, strict=True)]
        flow = tuple(field.masked_fill(begins, 0.0) for field in flow)
        return self.step(frames, *flow, *before)  # type: ignore[no-any-return]

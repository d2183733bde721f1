"""Checkpoints of ours as teachers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vidseg_ros.checkpoints.checkpoint import load_checkpoint
from vidseg_ros.networks import State
from vidseg_ros.teachers.base import Prediction, log_probabilities, mirrored, resized
from vidseg_ros.teachers.config import PseudoConfig, TeacherConfig


class CheckpointTeacher:
    """A checkpoint of ours, averaged over scales and mirroring; each view is a stream with a memory of its own."""

    def __init__(self, name: str, config: PseudoConfig | TeacherConfig, device: str = "cpu") -> None:
        checkpoint = load_checkpoint(name)
        self.labels, self._device = checkpoint.labels, torch.device(device)
        self._network = checkpoint.network.requires_grad_(False).to(device)
        self._size = checkpoint.network.config.input.size
        mirrored = (False, True) if config.flip else (False,)
        self._views = [(scale, mirror) for scale in config.scales for mirror in mirrored]
        self._states: list[State | None] = []
        self._seen = torch.empty(0)  # what the head saw last
        hook = torch.compiler.disable(self._remember)  # type: ignore[no-untyped-call]
        self._network.head.register_forward_pre_hook(hook)
        self.begin()

    def to(self, device: torch.device) -> None:
        """Move the network; depthwise convolutions are fast there with channels last."""
        self._device = device
        self._network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def compile(self) -> None:
        """Compile the network."""
        self._network.compile()

    def begin(self) -> None:
        """Forget the past."""
        self._states = [None] * len(self._views)

    def _remember(self, head: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        (self._seen,) = inputs

    @torch.no_grad()
    def logits(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Average the views."""
        frame = torch.tensor(rgb, device=self._device).permute(2, 0, 1)[None]
        width, height = self._size
        seen, self._states, _ = self._average(frame, (height, width), self._states)
        return log_probabilities(seen[0])

    @torch.no_grad()
    def predict(self, frames: Tensor) -> Prediction:
        """Average the views; the features are those of the first one."""
        fresh: list[State | None] = [None] * len(self._views)
        probabilities, _, features = self._average(frames, frames.shape[-2:], fresh)
        return Prediction(probabilities, features)

    def _average(
        self, frames: Tensor, base: Sequence[int], states: Sequence[State | None]
    ) -> tuple[Tensor, list[State | None], Tensor]:
        """The mean probabilities of views whose scales are multiples of the (height, width) ``base``.

        Returns them, the states of the views behind the frames, and what the head sees of the first view.
        """
        size = frames.shape[-2:]
        total = torch.zeros(len(frames), len(self.labels), *size, device=frames.device)
        after: list[State | None] = []
        features = None
        for (scale, mirror), state in zip(self._views, states, strict=True):
            view = resized(frames.float(), [round(scale * side) for side in base]).round().to(torch.uint8)
            logits, state = self._network(mirrored(view, mirror), state)  # noqa: PLW2901
            total += resized(mirrored(logits.float(), mirror), size).softmax(1)
            after.append(state)
            features = self._seen.float() if features is None else features
        assert features is not None, "there is a view at least"
        return total / len(self._views), after, features

"""A checkpoint as a teacher of video, with all that an engine can remember, forward or both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vidseg_ros.checkpoints.checkpoint import load_checkpoint
from vidseg_ros.engines import TorchEngine
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.errors import UserError
from vidseg_ros.flow.opening import open_flow
from vidseg_ros.io.frame import resize
from vidseg_ros.teachers import HUGGING_FACE, PseudoConfig, log_probabilities

Picture = NDArray[np.uint8]


def wants_video_teacher(name: str, config: PseudoConfig) -> bool:
    """Whether the teacher ``name`` has to remember what a ``CheckpointTeacher`` does not.

    Raises UserError where it remembers nothing, and shall.
    """
    if name.startswith(HUGGING_FACE) or Path(name).is_dir():
        if config.bidirectional or config.memory != "auto":
            raise UserError(f"teacher '{name}' remembers nothing; leave out --memory and --bidirectional")
        return False
    if config.bidirectional or config.memory != "auto":
        return True
    checkpoint = load_checkpoint(name)
    return checkpoint.network.needs_flow or checkpoint.inference.memory != "network"


class VideoTeacher:
    """Averaged over scales and mirroring; each view of a frame is a stream with a memory and a flow of its own."""

    def __init__(self, name: str, config: PseudoConfig, device: str = "cpu") -> None:
        self._engine = TorchEngine(load_checkpoint(name), EngineConfig(device=device, memory=config.memory))
        self.labels = self._engine.labels
        self._estimate = open_flow(self._engine.flow) if self._engine.flow else None
        width, height = self._engine.input_size
        mirrored = (False, True) if config.flip else (False,)
        sizes = [(round(scale * width), round(scale * height)) for scale in config.scales]
        self._views = [(size, mirror) for size in sizes for mirror in mirrored]
        self.begin()

    def begin(self) -> None:
        """Forget the past."""
        self._before: Picture | None = None
        self._states: Any = None

    def logits(self, rgb: Picture) -> Tensor:
        """See ``Teacher``."""
        probabilities, self._states = self._look(rgb, self._before, self._states)
        self._before = rgb
        return log_probabilities(probabilities)

    def step(self, rgb: Picture, before: Picture | None, states: Any) -> tuple[Tensor, Any]:
        """Probabilities, float16 (classes, H, W), and the states behind the frame, which the caller keeps.

        before: the frame that was looked at before; None, as are the states, for the first one.
        """
        probabilities, states = self._look(rgb, before, states)
        return probabilities.half(), states

    def _look(self, rgb: Picture, before: Picture | None, states: Any) -> tuple[Tensor, Any]:
        """The mean of the views, float32 (classes, H, W), and their states."""
        total = torch.zeros(len(self.labels), *rgb.shape[:2], device=self._engine.device)
        after = list(states or [None] * len(self._views))
        for number, view in enumerate(self._views):
            now, then = _seen(rgb, *view), None if before is None else _seen(before, *view)
            likely, after[number] = self._engine.probabilities(now[None], after[number], self._flow(now, then))
            likely = likely.flip(-1) if view[1] else likely
            total += functional.interpolate(likely[None], rgb.shape[:2], mode="bilinear", align_corners=False)[0]
        return total / len(self._views), after

    def _flow(self, now: Picture, before: Picture | None) -> NDArray[np.float32] | None:
        if self._estimate is None:
            return None
        still = np.zeros((2, *now.shape[:2]), np.float32)
        return (still if before is None else self._estimate(now, before))[None]


def _seen(rgb: Picture, size: tuple[int, int], mirror: bool) -> Picture:
    """A frame at (width, height) ``size``, or its mirror image."""
    view = resize(rgb, size, cv2.INTER_LINEAR)
    return np.ascontiguousarray(view[:, ::-1]) if mirror else view

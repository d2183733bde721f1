"""A recorded video through an engine, forward and backward."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vidseg_ros.engines import Engine, TorchEngine
from vidseg_ros.errors import UserError
from vidseg_ros.flow.opening import open_flow
from vidseg_ros.io.frame import Frame, resize, runs
from vidseg_ros.networks.bidirectional import forward_backward
from vidseg_ros.stream import Segmentation, StreamConfig


@dataclass(frozen=True, eq=False)
class _Looked:
    frame: Frame
    picture: NDArray[np.uint8]  # what the network sees of it


class BidirectionalStream:
    """What a ``FrameStream`` does for a camera, for a video whose future is known; without hysteresis."""

    def __init__(self, engine: Engine, config: StreamConfig | None = None) -> None:
        """Raises UserError for an engine that gives no probabilities."""
        if not isinstance(engine, TorchEngine):
            raise UserError("forward and backward need the probabilities of a checkpoint; use --engine torch")
        self.engine, self.config = engine, config or StreamConfig()
        self._estimate = open_flow(engine.flow) if engine.flow else None

    def segment(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, Segmentation]]:
        """Each frame, in order, with its labels; they wait for up to CHUNK + AHEAD frames behind it."""
        for reset, sequence in runs(frames, self.config.max_gap):
            why = reset
            for looked, probabilities in forward_backward(map(self._look, sequence), self._step):
                yield looked.frame, _decided(probabilities, looked.frame, why)
                why = ""

    def _look(self, frame: Frame) -> _Looked:
        return _Looked(frame, resize(frame.rgb, self.config.size or self.engine.input_size, cv2.INTER_LINEAR))

    def _step(self, now: _Looked, before: _Looked | None, state: Any) -> tuple[Tensor, Any]:
        flow = None
        if self._estimate is not None:
            still = np.zeros((2, *now.picture.shape[:2]), np.float32)
            flow = (still if before is None else self._estimate(now.picture, before.picture))[None]
        return self.engine.probabilities(np.stack([now.picture]), state, flow)


def _decided(probabilities: Tensor, frame: Frame, reset: str) -> Segmentation:
    """Labels and confidence at the size of the frame, of probabilities (classes, h, w)."""
    size = frame.rgb.shape[1], frame.rgb.shape[0]
    certainty, labels = probabilities.max(0)
    planes = labels.byte().cpu().numpy(), (255 * certainty).round().byte().cpu().numpy()
    chosen, sure = (resize(plane, size, cv2.INTER_NEAREST) for plane in planes)
    return Segmentation(chosen, sure, reset, 0.0)

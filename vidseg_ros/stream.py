"""One camera's stream of frames through an engine: its memory, and when to forget."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.engines import Engine
from vidseg_ros.errors import UserError
from vidseg_ros.flow.opening import open_flow
from vidseg_ros.io.frame import MAX_GAP, Frame, discontinuity, resize
from vidseg_ros.schema import LARGEST_SIDE, require_positive, require_range


@dataclass(frozen=True)
class StreamConfig:
    """When a stream forgets its past, and at which size its network runs."""

    max_gap: float = MAX_GAP  # seconds between frames beyond which the state is reset
    size: tuple[int, int] | None = None  # (width, height) of the network input; None: as the network was trained

    def __post_init__(self) -> None:
        require_positive(max_gap=self.max_gap)
        if self.size is not None and min(self.size) < 16:
            raise UserError(f"size is {self.size}; width and height must be at least 16")
        if self.size is not None:
            require_range(1, LARGEST_SIDE, size=max(self.size))


@dataclass(frozen=True)
class Segmentation:
    """Result at the resolution of the frame.

    labels: ids uint8 (H, W). confidence: probability of the chosen class, uint8 0..255 (H, W), or None.
    reset: why the past was forgotten before this frame, or "". model_ms: time of the network step, which all frames
    of a batch share; flow_ms: of the optical flow before it.
    """

    labels: NDArray[np.uint8]
    confidence: NDArray[np.uint8] | None
    reset: str
    model_ms: float
    flow_ms: float = 0.0


class FrameStream:
    """The memory of one camera; live node, replay and evaluation all run this."""

    def __init__(self, engine: Engine, config: StreamConfig | None = None) -> None:
        self.engine = engine
        self.config = config or StreamConfig()
        self.state: Any = None
        self._last: Frame | None = None
        self._estimate = open_flow(engine.flow) if engine.flow else None
        self._picture: NDArray[np.uint8] | None = None  # the network's last input, where flow is wanted

    def step(self, rgb: NDArray[np.uint8], stamp: int) -> NDArray[np.uint8]:
        """Ids uint8 (H, W) of the next frame, RGB uint8 (H, W, 3), taken at ``stamp`` in nanoseconds.

        Raises UserError for what is no picture or no whole number.
        """
        if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            what = f"{rgb.dtype} {rgb.shape}" if isinstance(rgb, np.ndarray) else type(rgb).__name__
            raise UserError(f"rgb is {what}; give a picture as uint8 (height, width, 3)")
        if isinstance(stamp, bool) or not isinstance(stamp, int | np.integer):
            raise UserError(f"stamp is {stamp!r}; give whole nanoseconds, such as time.time_ns()")
        return self.segment(Frame(rgb, int(stamp))).labels

    def segment(self, frame: Frame, confidence: bool = False) -> Segmentation:
        """Labels of the next frame, and what is known of them."""
        return segment_together([self], [frame], confidence)[0]

    def reset(self) -> None:
        """Forget the past."""
        self.state = None
        self._last = None
        self._picture = None

    def resume(self, last: Frame, state: Any) -> None:
        """Go on behind the frame ``last``, with the state that a stream had after it."""
        self.state, self._last = state, last
        self._flow(self._network_input(last), fresh=True)

    def _admit(self, frame: Frame) -> str:
        """Forget the past where ``frame`` does not continue it; returns why, or ""."""
        reason = discontinuity(self._last, frame, self.config.max_gap) if self._last else ""
        if reason:
            self.state = None
        self._last = frame
        return reason

    def _take_state(self) -> Any:
        """Hand the state out; a step that fails leaves none behind that would be older than the last frame."""
        state, self.state = self.state, None
        return state

    def _flow(self, picture: NDArray[np.uint8], fresh: bool) -> NDArray[np.float32] | None:
        """The flow from the network's input to the one before, (2, H, W); none where it begins anew, ``fresh``."""
        if self._estimate is None:
            return None
        before, self._picture = self._picture, picture
        if fresh or before is None or before.shape != picture.shape:
            return np.zeros((2, *picture.shape[:2]), np.float32)
        return self._estimate(picture, before)

    def _network_input(self, frame: Frame) -> NDArray[np.uint8]:
        size = self.config.size or self.engine.input_size
        picture = resize(frame.rgb, size, cv2.INTER_LINEAR)
        kept = self._estimate is not None and picture is frame.rgb  # till the next frame, and the caller may refill it
        return picture.copy() if kept else picture


def segment_together(
    streams: Sequence[FrameStream], frames: Sequence[Frame], confidence: bool = False
) -> list[Segmentation]:
    """Segment one frame of each of several streams of one engine; equal network sizes share a batch."""
    resets = [stream._admit(frame) for stream, frame in zip(streams, frames, strict=True)]
    inputs = [stream._network_input(frame) for stream, frame in zip(streams, frames, strict=True)]
    batches: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, image in enumerate(inputs):
        batches[image.shape].append(index)
    results: dict[int, Segmentation] = {}
    for members in batches.values():
        batch, start = np.stack([inputs[i] for i in members]), time.perf_counter()
        past = [streams[i]._take_state() for i in members]
        moved = [streams[i]._flow(inputs[i], state is None) for i, state in zip(members, past, strict=True)]
        flows = [flow for flow in moved if flow is not None]
        flow, began = np.stack(flows) if flows else None, time.perf_counter()
        prediction, states = streams[0].engine.step(batch, past, confidence, flow)
        flow_ms, model_ms = 1e3 * (began - start), 1e3 * (time.perf_counter() - began)
        for row, i in enumerate(members):
            streams[i].state = states[row]
            height, width = frames[i].rgb.shape[:2]
            labels, certainty = (
                None if plane is None else resize(plane[row], (width, height), cv2.INTER_NEAREST)
                for plane in (prediction.labels, prediction.confidence)
            )
            assert labels is not None
            results[i] = Segmentation(labels, certainty, resets[i], model_ms, flow_ms)
    return [results[i] for i in range(len(streams))]

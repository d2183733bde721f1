"""What the engines of other runtimes share: sessions by size, and states of NumPy arrays."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidseg_ros.checkpoints.checkpoint import Checkpoint, InferenceConfig
from vidseg_ros.engines.base import Arrays, Clips, Flow, Prediction, Session, in_turn, join, require_flow, split
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.step import ExportStep, InferenceStep, flow_of, inference_of
from vidseg_ros.errors import UserError
from vidseg_ros.flow.estimator import FlowConfig
from vidseg_ros.flow.opening import open_flow
from vidseg_ros.labels import LabelSet
from vidseg_ros.schema import from_dict, parse_json


class ArrayEngine(ABC):
    """An engine whose runtime takes arrays; it makes a session for each new size of a batch."""

    labels: LabelSet
    input_size: tuple[int, int]
    flow: FlowConfig | None = None
    batches = True  # whether several frames at once are cheaper than one after another

    def __init__(self) -> None:
        self._sessions: dict[tuple[int, ...], tuple[Session, Arrays]] = {}

    @abstractmethod
    def _open(self, shape: tuple[int, ...], confidence: bool) -> tuple[Session, Arrays]:
        """A session for ``shape`` (N, H, W), and a state of one stream with any values."""

    def step(
        self,
        frames: NDArray[np.uint8],
        states: Sequence[Arrays | None],
        confidence: bool = False,
        flow: Flow | None = None,
    ) -> tuple[Prediction, list[Arrays]]:
        """Segment one frame of each stream: see ``Engine.step``."""
        if len(frames) > 1 and not self.batches:
            return in_turn(self._step_batch, frames, states, confidence, flow)
        return self._step_batch(frames, states, confidence, flow)

    def _step_batch(
        self, frames: NDArray[np.uint8], states: Sequence[Arrays | None], confidence: bool, flow: Flow | None
    ) -> tuple[Prediction, list[Arrays]]:
        """Take all streams in one batch."""
        key = (*frames.shape[:3], confidence)
        if key not in self._sessions:
            self._sessions[key] = self._open(frames.shape[:3], confidence)
        session, blank = self._sessions[key]
        fresh = np.array([state is None for state in states])
        before = join([blank if state is None else state for state in states], np.concatenate)
        labels, *rest = session([frames, fresh, *require_flow(frames, flow, states, self.flow is not None), *before])
        certainty = rest.pop(0) if confidence else None
        return Prediction(labels, certainty), split(rest, len(frames))

    def close(self) -> None:
        """Give memory back; the engine is of no more use."""
        self._sessions.clear()


class ExportedEngine(ArrayEngine):
    """An engine whose runtime takes a whole ``ExportStep``."""

    def __init__(self, checkpoint: Checkpoint, config: EngineConfig) -> None:
        super().__init__()
        self.network, self.inference = checkpoint.network, inference_of(checkpoint, config)
        self.flow = flow_of(self.network, self.inference)
        self.labels = checkpoint.labels
        self.input_size = checkpoint.network.config.input.size

    def _open(self, shape: tuple[int, ...], confidence: bool) -> tuple[Session, Arrays]:
        batch, height, width = shape
        step = ExportStep(InferenceStep(self.network, confidence, self.inference), height, width)
        return self._convert(step, batch), [t.numpy() for t in step.blank_state()]

    @abstractmethod
    def _convert(self, step: ExportStep, batch: int) -> Session:
        """Hand the step to the runtime, for ``batch`` frames at once."""


class FileEngine(ArrayEngine):
    """What ``vidseg export`` wrote, at the frame size that it was written for."""

    def __init__(self, path: Path, config: EngineConfig) -> None:
        super().__init__()
        for what in ("hysteresis", "memory", "warped"):
            given = getattr(config, what)
            if given not in (None, "auto"):
                raise UserError(f"{what} is {given}, and '{path}' has its own; give it to the checkpoint")
        self.path = path
        self._take(self._read(path, config), config.flow)

    def _take(self, about: Mapping[str, Any], named: str) -> None:
        """Take over what the file says of itself, but for flow that was ``named``; older files want none."""
        try:
            width, height = map(int, about["size"].split("x"))
            self.labels, self.input_size = from_dict(LabelSet, parse_json(about["labels"])), (width, height)
            flow = parse_json(about.get("flow", "null"))
            self.flow = None if flow is None else from_dict(FlowConfig, flow).named(named)
        except (KeyError, ValueError) as error:
            raise UserError(
                f"'{self.path}' does not name its labels; use a checkpoint, or a file that vidseg export wrote"
            ) from error

    def _open(self, shape: tuple[int, ...], confidence: bool) -> tuple[Session, Arrays]:
        if (shape[2], shape[1]) != self.input_size:
            mine, given = ("{}x{}".format(*size) for size in (self.input_size, (shape[2], shape[1])))
            raise UserError(f"'{self.path}' takes frames of {mine}, not {given}; export another with --size {given}")
        return self._start(shape[0], confidence)

    @abstractmethod
    def _read(self, path: Path, config: EngineConfig) -> Mapping[str, Any]:
        """Read the file; returns its ``labels`` and ``size``. Raises UserError."""

    @abstractmethod
    def _start(self, batch: int, confidence: bool) -> tuple[Session, Arrays]:
        """A session for ``batch`` frames, and a state of one stream with any values."""


def unreadable(path: Path, error: Exception) -> UserError:
    """Error of a file that its runtime does not take."""
    (first, *_) = str(error).strip().splitlines() or ["no reason given"]
    return UserError(f"cannot read '{path}' ({first}); export it again")


ABOUT = ("labels", "size", "flow")


def about_of(checkpoint: Checkpoint, size: tuple[int, int], inference: InferenceConfig) -> dict[str, str]:
    """What a file must say of itself, by ABOUT, to be used by ``FileEngine``; ``size`` is (width, height)."""
    flow = flow_of(checkpoint.network, inference)
    about = {"labels": asdict(checkpoint.labels), "flow": None if flow is None else asdict(flow)}
    return {"size": "{}x{}".format(*size), **{key: json.dumps(value) for key, value in about.items()}}


def step_inputs(step: ExportStep, clip: Clips, number: int) -> list[NDArray[Any]]:
    """What an ``ExportStep`` takes before its state for a frame of a clip, RGB uint8 (T, H, W, 3): of one stream."""
    inputs: list[NDArray[Any]] = [np.ascontiguousarray(clip[number][None]), np.array([number == 0])]
    if step.step.needs_flow:
        flow = open_flow(step.step.inference.flow)
        inputs.append(flow(clip[number], clip[max(number - 1, 0)])[None])
    return inputs

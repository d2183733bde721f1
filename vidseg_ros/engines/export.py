"""Checkpoints as files of other runtimes, checked against PyTorch before they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.engines.base import Arrays, Session
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.exported import about_of, step_inputs
from vidseg_ros.engines.opening import module_of
from vidseg_ros.engines.registry import FORMATS, RUNTIMES
from vidseg_ros.engines.step import ExportStep, InferenceStep, inference_of
from vidseg_ros.errors import UserError

AGREEMENT = 99.9  # percent of labels below which nothing is written
INT8_AGREEMENT = 90.0  # a guard against failed calibration; whether int8 is good enough, only labelled data can say


@dataclass(frozen=True)
class Parity:
    """Of an exported model and the eager network over a stateful sequence."""

    agreement: float  # percent of equal labels
    difference: float  # the largest of the state, relative to the largest value


def export(
    checkpoint: Checkpoint,
    kind: str,
    path: Path,
    size: tuple[int, int],
    frames: Sequence[NDArray[np.uint8]],
    clips: Sequence[NDArray[np.uint8]] = (),
    config: EngineConfig | None = None,
) -> Parity:
    """Write ``checkpoint`` for frames of ``size`` (width, height) and any batch; ``frames`` (H, W, 3) try it first.

    ``config`` says what to remember, where that is not what the checkpoint says. With ``clips`` (T, H, W, 3), its
    convolutions are in int8, calibrated on them. Raises UserError where labels of fewer than 99.9 % of the pixels
    agree, or 90 % in int8.
    """
    inference = inference_of(checkpoint, config or EngineConfig())
    step = ExportStep(InferenceStep(checkpoint.network, True, inference), *size[::-1])
    engine = FORMATS[kind]
    writer = getattr(module_of(engine), RUNTIMES[engine].writer)
    session, write = writer(step, about_of(checkpoint, size, inference), clips)
    parity = _compare(step, session, frames)
    least = INT8_AGREEMENT if clips else AGREEMENT
    if parity.agreement < least:
        raise UserError(
            f"only {parity.agreement:.3f} % of the labels agree with PyTorch, and {least} % must; "
            f"'{path}' is not written; try another --format"
        )
    write(path)
    return parity


def _compare(step: ExportStep, session: Session, frames: Sequence[NDArray[np.uint8]]) -> Parity:
    """Run both over the sequence, each with its own state."""
    equal, difference, largest = [], 0.0, 1e-9
    mine: Arrays = [t.numpy() for t in step.blank_state()]
    theirs = mine
    for number in range(len(frames)):
        inputs = step_inputs(step, frames, number)
        with torch.inference_mode():
            expected = step(*(torch.as_tensor(a) for a in (*inputs, *mine)))
        labels, _, *mine = [t.numpy() for t in expected]
        given, _, *theirs = session([*inputs, *theirs])
        equal.append(float(np.mean(labels == given)))
        for a, b in zip(mine, theirs, strict=True):
            difference = max(difference, float(np.abs(a.astype(np.float32) - b).max()))
            largest = max(largest, float(np.abs(a.astype(np.float32)).max()))
    return Parity(100 * float(np.mean(equal)), difference / largest)

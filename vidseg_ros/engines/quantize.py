"""int8 for OpenVINO: static quantisation with NNCF, calibrated on clips."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import nncf
import numpy as np
import openvino
from numpy.typing import NDArray

from vidseg_ros.engines.base import Arrays, Session
from vidseg_ros.engines.exported import step_inputs
from vidseg_ros.engines.openvino import set_batch
from vidseg_ros.engines.step import ExportStep

FLOAT = ("Add", "Concat", "Maximum", "Multiply")  # between the convolutions: left in float, they cost little


def quantize(
    model: openvino.Model, step: ExportStep, session: Session, clips: Sequence[NDArray[np.uint8]]
) -> openvino.Model:
    """``model`` with convolutions in int8, for batches of one: with N free, OpenVINO 2026.4 gives other labels.

    clips: RGB uint8 (T, H, W, 3), through which ``session``, the model in float32, gives the states. Each clip
    counts with its first frame and its last: without a past and with one.
    """
    samples = [sample for clip in clips for sample in _samples(step, session, clip)]
    set_batch(model, 1)
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf.quantize(
        model,
        nncf.Dataset(samples),
        preset=nncf.QuantizationPreset.MIXED,  # PReLU gives both signs
        subset_size=len(samples),
        ignored_scope=nncf.IgnoredScope(types=list(FLOAT), validate=False),
    )


def _samples(step: ExportStep, session: Session, clip: NDArray[np.uint8]) -> Iterator[Arrays]:
    """Yield the inputs of the first and the last step over a clip."""
    state: Arrays = [t.numpy() for t in step.blank_state()]
    for number in range(len(clip)):
        inputs = [*step_inputs(step, list(clip), number), *state]
        if number in {0, len(clip) - 1}:
            yield inputs
        _, _, *state = session(inputs)

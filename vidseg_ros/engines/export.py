"""Checkpoints as files of other runtimes, checked against PyTorch before they are written."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.exported import Arrays, Session, about_of
from vidseg_ros.engines.step import ExportStep, InferenceStep, hysteresis_of
from vidseg_ros.errors import UserError
from vidseg_ros.files import write_atomic

if TYPE_CHECKING:
    import onnx

FORMATS = {"onnx": ".onnx", "openvino": ".xml", "tensorrt": ".trt", "torch-export": ".pt2"}
Clips = Sequence[NDArray[np.uint8]]
Exported = tuple[Session, Callable[[Path], object]]
"""What runs a step, and what writes it."""
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
    hysteresis: float | None = None,
) -> Parity:
    """Write ``checkpoint`` for frames of ``size`` (width, height) and any batch; ``frames`` (H, W, 3) try it first.

    With ``clips`` (T, H, W, 3), its convolutions are in int8, calibrated on them. Raises UserError where labels of
    fewer than 99.9 % of the pixels agree, or 90 % in int8.
    """
    config = EngineConfig(hysteresis=hysteresis)
    step = ExportStep(InferenceStep(checkpoint.network, True, hysteresis_of(checkpoint, config)), *size[::-1])
    session, write = WRITERS[kind](step, about_of(checkpoint, size), clips)
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
    mine: Arrays = [t.numpy() for t in step.example(1)[2:]]
    theirs = mine
    for number, frame in enumerate(frames):
        fresh = np.array([number == 0])
        with torch.inference_mode():
            expected = step(*(torch.as_tensor(np.ascontiguousarray(a)) for a in (frame[None], fresh, *mine)))
        labels, _, *mine = [t.numpy() for t in expected]
        given, _, *theirs = session([np.ascontiguousarray(frame[None]), fresh, *theirs])
        equal.append(float(np.mean(labels == given)))
        for a, b in zip(mine, theirs, strict=True):
            difference = max(difference, float(np.abs(a.astype(np.float32) - b).max()))
            largest = max(largest, float(np.abs(a.astype(np.float32)).max()))
    return Parity(100 * float(np.mean(equal)), difference / largest)


def _onnx(step: ExportStep, about: dict[str, str], clips: Clips) -> Exported:
    import onnx  # noqa: PLC0415
    import onnxruntime  # noqa: PLC0415

    from vidseg_ros.engines.onnx import to_onnx  # noqa: PLC0415
    from vidseg_ros.engines.onnxruntime import CPU, as_session  # noqa: PLC0415

    data = _told(onnx.load_from_string(to_onnx(step)), about)
    return as_session(onnxruntime.InferenceSession(data, providers=[CPU])), lambda path: write_atomic(path, data)


def _tensorrt(step: ExportStep, about: dict[str, str], clips: Clips) -> Exported:
    import onnx  # noqa: PLC0415

    from vidseg_ros.engines.onnx import to_onnx  # noqa: PLC0415
    from vidseg_ros.engines.onnxruntime import as_session, plan  # noqa: PLC0415

    shapes = {name: tensor.shape[1:] for name, tensor in zip(step.names()[0], step.example(1), strict=True)}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "plan.onnx"
        session = plan(to_onnx(step), shapes, path)
        data = _told(onnx.load(path), about)
    return as_session(session), lambda path: write_atomic(path, data)


def _told(model: onnx.ModelProto, about: dict[str, str]) -> bytes:
    """Return an ONNX model that says what it is."""
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
    return model.SerializeToString()  # type: ignore[no-any-return]


def _openvino(step: ExportStep, about: dict[str, str], clips: Clips) -> Exported:
    import openvino  # noqa: PLC0415

    from vidseg_ros.engines.openvino import OWNER, convert, open_session, settings  # noqa: PLC0415

    model, how = convert(step), settings(EngineConfig())
    if clips:
        from vidseg_ros.engines.quantize import quantize  # noqa: PLC0415

        model = quantize(model, step, open_session(model, how), clips)
    for key, value in about.items():
        model.set_rt_info(value, [OWNER, key])
    write = partial(openvino.save_model, model, compress_to_fp16=False)
    return open_session(model, how), write


def _torch_export(step: ExportStep, about: dict[str, str], clips: Clips) -> Exported:
    example = step.example(2)  # one frame would become a constant
    program = torch.export.export(step, example, dynamic_shapes=step.dynamic_shapes(), strict=False)
    module = program.module()

    def session(arrays: Arrays) -> Arrays:
        with torch.inference_mode():
            return [t.numpy() for t in module(*(torch.from_numpy(a.copy()) for a in arrays))]

    def write(path: Path) -> None:
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files=about)
        write_atomic(path, buffer.getvalue())

    return session, write


WRITERS = {"onnx": _onnx, "openvino": _openvino, "tensorrt": _tensorrt, "torch-export": _torch_export}

"""Optical flow by a network such as RAFT (Teed and Deng 2020), from an ONNX file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vidseg_ros.errors import UserError
from vidseg_ros.flow.estimator import FlowConfig, at_size

Picture = NDArray[np.uint8]
RGB, XY = 3, 2  # channels that go in and come out


class LearnedFlow:
    """Runs the network of ``config.model`` on the CPU, by ONNX Runtime.

    Its inputs are two RGB pictures, float32 (1, 3, H, W) of 0 to 255; its last output is the flow, float32
    (1, 2, H, W) in pixels. A file for pictures of one size gets them at that size; one for any size gets them as they
    are, padded at the right and below with their last pixels.
    """

    def __init__(self, config: FlowConfig) -> None:
        """Raises UserError for a file that is missing, cannot be read, or takes or gives something else."""
        self.config = config
        self._session = _session(*_identity(config.model))
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 2 or not all(_carries(port, RGB) for port in inputs):
            raise self._problem(f"takes {_shapes(inputs)}; it must take two RGB pictures, float32 (1, 3, H, W)")
        if not _carries(outputs[-1], XY):
            raise self._problem(f"gives {_shapes(outputs[-1:])}; its last output must be flow, float32 (1, 2, H, W)")
        height, width = inputs[0].shape[2:]
        self._size = (width, height) if isinstance(width, int) and isinstance(height, int) else None
        self._names = [port.name for port in inputs]

    def __call__(self, first: Picture, second: Picture) -> NDArray[np.float32]:
        """See ``FlowEstimator``. Raises UserError where the network does not take pictures of this size."""
        height, width = first.shape[:2]
        reduction = self.config.reduction
        size = self._size or (max(width // reduction, 1), max(height // reduction, 1))
        flow = self._run([_input(image, size, 1 if self._size else self.config.multiple) for image in (first, second)])
        return at_size(flow[:, : size[1], : size[0]].transpose(1, 2, 0), (width, height))

    def _run(self, pictures: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Flow (2, H, W) of two pictures (1, 3, H, W)."""
        height, width = pictures[0].shape[2:]
        try:
            flow = self._session.run(None, dict(zip(self._names, pictures, strict=True)))[-1]
        except Exception as error:  # many kinds, none of them Python's
            raise self._problem(f"does not take pictures of {width}x{height} ({_reason(error)})") from error
        if flow.shape != (1, XY, height, width) or not np.isfinite(flow).all():
            what = "is not finite" if flow.shape == (1, XY, height, width) else f"is {flow.shape}"
            raise self._problem(f"gives flow that {what} for pictures of {width}x{height}")
        return flow[0]  # type: ignore[no-any-return]

    def _problem(self, words: str) -> UserError:
        return UserError(f"flow network '{self.config.model}' {words}; use another, or dis:ultrafast")


def _identity(model: str) -> tuple[str, int, int]:
    """A file as it is now, in this process: what was opened before a fork is of no use behind it."""
    try:
        return model, Path(model).stat().st_mtime_ns, os.getpid()
    except OSError as error:
        raise UserError(f"cannot read flow network '{model}': {error.strerror}; name an ONNX file") from error


@lru_cache(maxsize=2)
def _session(model: str, changed: int, process: int) -> Any:
    """Open a file once for all streams. Idle threads sleep: the engine wants the processor next."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        data = Path(model).read_bytes()
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # many kinds, none of them Python's
        raise UserError(f"cannot read flow network '{model}' ({_reason(error)}); export it again") from error


def _carries(port: Any, channels: int) -> bool:
    """Whether an input or output can be float32 (1, ``channels``, H, W); of one without a shape, only running tells."""
    if port.type != "tensor(float)" or len(port.shape or range(4)) != 4:
        return False
    wanted = zip(port.shape or (), (1, channels), strict=False)
    return all(side == number for side, number in wanted if isinstance(side, int))


def _shapes(ports: Sequence[Any]) -> str:
    return " and ".join(f"{port.type} {port.shape}" for port in ports) or "nothing"


def _input(image: Picture, size: tuple[int, int], multiple: int) -> NDArray[np.float32]:
    """A picture at (width, height) ``size``, padded to multiples, float32 (1, 3, H, W)."""
    if (image.shape[1], image.shape[0]) != size:
        how = cv2.INTER_AREA if size[0] < image.shape[1] else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)
    padding = [(0, -side % multiple) for side in image.shape[:2]]
    return np.pad(image, [*padding, (0, 0)], mode="edge").transpose(2, 0, 1)[None].astype(np.float32, order="C")


def _reason(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no reason given")

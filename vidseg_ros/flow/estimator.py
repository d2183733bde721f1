"""Optical flow of pairs of frames, behind one door: dense inverse search on the host, or a network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vidseg_ros.errors import UserError
from vidseg_ros.schema import require_one_of, require_range

PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
AUTO, DIS, NETWORK = "auto", "dis:", ".onnx"  # how a user names what estimates flow
SMALLEST = 16  # pixels a side that dense inverse search needs, after the reduction


@dataclass(frozen=True)
class FlowConfig:
    """How flow is estimated for a step. The default is the cheapest that costs no accuracy (docs/results.md)."""

    preset: str = "ultrafast"  # of dense inverse search
    reduction: int = 1  # frames are made smaller by this much first
    model: str = ""  # an ONNX file of a network that estimates flow, in place of dense inverse search
    multiple: int = 8  # to multiples of this, pixels, its pictures are padded

    def __post_init__(self) -> None:
        require_one_of("flow.preset", self.preset, PRESETS)
        require_range(1, 8, **{"flow.reduction": self.reduction})
        require_range(1, 128, **{"flow.multiple": self.multiple})
        if self.model and not self.model.endswith(NETWORK):
            raise UserError(f"flow.model is '{self.model}'; name a file that ends in {NETWORK}")

    def named(self, text: str) -> FlowConfig:
        """These settings with what ``text`` names: auto (nothing new), dis:PRESET or FILE.onnx. Raises UserError."""
        if text == AUTO:
            return self
        if text.endswith(NETWORK):
            return replace(self, model=text)
        if not text.startswith(DIS) or text.removeprefix(DIS) not in PRESETS:
            names = ", ".join(DIS + preset for preset in PRESETS)
            raise UserError(f"flow is '{text}'; use {AUTO}, {names} or a file that ends in {NETWORK}")
        return replace(self, preset=text.removeprefix(DIS), model="")


class FlowEstimator(Protocol):
    """Says where things move."""

    def __call__(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Where each pixel of ``first`` lies in ``second``, both RGB uint8 (H, W, 3): (dx, dy) in pixels, (2, H, W)."""


class DISFlow:
    """Dense inverse search (Kroeger et al. 2016), as GRFP takes it for its evaluation. The same bytes each time."""

    def __init__(self, config: FlowConfig | None = None) -> None:
        self.config = config or FlowConfig()
        self._search = cv2.DISOpticalFlow.create(PRESETS[self.config.preset])

    def __call__(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See ``FlowEstimator``; frames too small to search give no motion."""
        height, width = first.shape[:2]
        size = width // self.config.reduction, height // self.config.reduction
        if min(size) < SMALLEST:
            return np.zeros((2, height, width), np.float32)
        grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first, second)]
        if self.config.reduction > 1:
            grey = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in grey]
        with one_thread():
            flow = np.asarray(self._search.calc(*grey, None), np.float32)  # type: ignore[call-overload]
        return at_size(flow, (width, height))


def at_size(flow: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """The flow (h, w, 2) of pictures as that of the same pictures at (width, height) ``size``, (2, H, W) in pixels."""
    height, width = flow.shape[:2]
    if (width, height) != size:
        flow = cv2.resize(flow, size) * np.array([size[0] / width, size[1] / height], np.float32)
    return np.ascontiguousarray(flow.transpose(2, 0, 1))


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep OpenCV to one thread: the flow depends on their number, and to change it takes milliseconds."""
    threads = cv2.getNumThreads()
    if threads != 1:
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        if threads != 1:
            cv2.setNumThreads(threads)

"""Optical flow between frames, and where to trust it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

DIS_PRESET = cv2.DISOPTICAL_FLOW_PRESET_MEDIUM


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


@one_thread()
def estimate_flow(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Tensor:
    """Estimate where each pixel of ``first`` lies in ``second``: (dx, dy) in pixels, float32 (H, W, 2).

    Both RGB uint8 (H, W, 3). Dense inverse search (Kroeger et al. 2016), as GRFP takes it for its evaluation.
    """
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first, second)]
    flow = cv2.DISOpticalFlow.create(DIS_PRESET).calc(*grey, None)  # type: ignore[call-overload]
    return torch.from_numpy(np.asarray(flow, np.float32))


def destinations(flow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return columns and rows, float32 (H, W), that the pixels move to, and whether they stay inside, bool (H, W)."""
    height, width = flow.shape[:2]
    columns = torch.arange(width, device=flow.device) + flow[..., 0]
    rows = torch.arange(height, device=flow.device)[:, None] + flow[..., 1]
    inside = (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
    return columns, rows, inside


def sample(plane: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """Read ``plane`` (H, W, ...) bilinearly at places of one shape; beyond its edges stands the nearest pixel.

    Neighbours of one value give exactly that value. Returns float32 (shape of the places, ...).
    """
    height, width = plane.shape[:2]
    columns, rows = columns.clamp(0, width - 1), rows.clamp(0, height - 1)
    left, top = columns.floor().long(), rows.floor().long()
    right, below = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    across, down = columns - left, rows - top
    if plane.ndim > 2:
        across, down = across[..., None], down[..., None]
    plane = plane.float()
    upper = plane[top, left] + across * (plane[top, right] - plane[top, left])
    lower = plane[below, left] + across * (plane[below, right] - plane[below, left])
    return upper + down * (lower - upper)


def nearest(plane: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """Read ``plane`` (H, W) at the nearest pixels of places of one shape."""
    height, width = plane.shape
    return plane[rows.round().long().clamp(0, height - 1), columns.round().long().clamp(0, width - 1)]


def visible(forward: Tensor, backward: Tensor) -> Tensor:
    """Tell which pixels of the first frame are seen in the second one too, bool (H, W).

    forward, backward: flow between the two frames, (H, W, 2). A pixel is seen where the way there and back ends near
    its start (Sundaram, Brox and Keutzer 2010, equation (5)), and inside the image.
    """
    columns, rows, inside = destinations(forward)
    back = sample(backward, columns, rows)
    error = (forward + back).square().sum(-1)
    return inside & (error < 0.01 * (forward.square().sum(-1) + back.square().sum(-1)) + 0.5)


@dataclass(frozen=True, eq=False)
class Motion:
    """Flow from one frame to another, pixels (H, W, 2), and which pixels of the first are seen in the second too."""

    flow: Tensor
    seen: Tensor

    @staticmethod
    def between(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Motion:
        """Estimate the motion between two frames, RGB uint8 (H, W, 3)."""
        flow = estimate_flow(first, second)
        return Motion(flow, visible(flow, estimate_flow(second, first)))

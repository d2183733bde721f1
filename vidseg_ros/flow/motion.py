"""Optical flow between frames, and where to trust it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidseg_ros.flow.estimator import DISFlow, FlowConfig
from vidseg_ros.flow.warp import inside, places

MEDIUM = FlowConfig(preset="medium")  # of metrics and pseudo labels, where accuracy counts and time does not


def estimate_flow(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Tensor:
    """Where each pixel of ``first`` lies in ``second``, RGB uint8 (H, W, 3): (dx, dy) in pixels, float32 (2, H, W)."""
    return torch.from_numpy(DISFlow(MEDIUM)(first, second))


def sample(plane: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """Read ``plane`` (..., H, W) bilinearly at places of one shape; beyond its edges stands the nearest pixel.

    Neighbours of one value give exactly that value. Returns float32 (..., shape of the places).
    """
    height, width = plane.shape[-2:]
    columns, rows = columns.clamp(0, width - 1), rows.clamp(0, height - 1)
    left, top = columns.floor().long(), rows.floor().long()
    right, below = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    across, down = columns - left, rows - top
    plane = plane.float()
    upper = plane[..., top, left] + across * (plane[..., top, right] - plane[..., top, left])
    lower = plane[..., below, left] + across * (plane[..., below, right] - plane[..., below, left])
    return upper + down * (lower - upper)


def nearest(plane: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """Read ``plane`` (H, W) at the nearest pixels of places of one shape."""
    height, width = plane.shape
    return plane[rows.round().long().clamp(0, height - 1), columns.round().long().clamp(0, width - 1)]


def visible(forward: Tensor, backward: Tensor) -> Tensor:
    """Tell which pixels of the first frame are seen in the second one too, bool (H, W).

    forward, backward: flow between the two frames, (2, H, W). A pixel is seen where the way there and back ends near
    its start (Sundaram, Brox and Keutzer 2010, equation (5)), and inside the image.
    """
    back = sample(backward, *places(forward))
    error = (forward + back).square().sum(0)
    return inside(forward)[0] & (error < 0.01 * (forward.square().sum(0) + back.square().sum(0)) + 0.5)


def motion_boundary(flow: Tensor) -> Tensor:
    """Where the ``flow`` (2, H, W) changes from pixel to pixel as at the edge of a thing that moves, bool (H, W).

    There it is uncertain, and point trajectories end (Sundaram, Brox and Keutzer 2010, equation (6)). Slopes are
    central differences, one-sided at the edge of the picture.
    """
    slopes = torch.gradient(flow, dim=(1, 2))
    steepness = sum((slope.square().sum(0) for slope in slopes), torch.zeros_like(flow[0]))
    return steepness > 0.01 * flow.square().sum(0) + 0.002


def follow(labels: Tensor, flow: Tensor) -> Tensor:
    """The label, of ids (H, W) of another frame, at the place where ``flow`` (2, H, W) leads; the nearest one."""
    return nearest(labels, *places(flow))


@dataclass(frozen=True, eq=False)
class Motion:
    """Flow from one frame to another, pixels (2, H, W), and which pixels of the first are seen in the second too."""

    flow: Tensor
    seen: Tensor

    @property
    def tracked(self) -> Tensor:
        """Which pixels a point trajectory goes on from: ``seen``, and at no edge of the motion."""
        return self.seen & ~motion_boundary(self.flow)

    @staticmethod
    def between(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Motion:
        """Estimate the motion between two frames, RGB uint8 (H, W, 3)."""
        flow = estimate_flow(first, second)
        return Motion(flow, visible(flow, estimate_flow(second, first)))

    def agree(self, now: Tensor, other: Tensor) -> Tensor:
        """Which pixels of ``now`` have the same id in the ``other`` frame, bool (H, W); ask ``seen``, too."""
        return follow(other, self.flow) == now

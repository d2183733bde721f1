"""Reading one frame at the places where another one's pixels lie in it; differentiable, for batches and devices."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def places(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Where each pixel lies after its ``flow`` (..., 2, H, W) in pixels: columns and rows, float32 (..., H, W)."""
    height, width = flow.shape[-2:]
    columns = torch.arange(width, device=flow.device, dtype=torch.float32) + flow.select(-3, 0).float()
    rows = torch.arange(height, device=flow.device, dtype=torch.float32)[:, None] + flow.select(-3, 1).float()
    return columns, rows


def inside(flow: Tensor) -> Tensor:
    """Which pixels stay in the picture after their ``flow`` (..., 2, H, W), bool (..., 1, H, W)."""
    height, width = flow.shape[-2:]
    columns, rows = places(flow)
    return ((columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)).unsqueeze(-3)


def warp(x: Tensor, flow: Tensor, outside: str = "border") -> Tensor:
    """``x`` (N, C, H, W), read bilinearly at the pixels moved by ``flow`` (N, 2, H, W).

    Beyond the picture its edge goes on, or stand zeros with ``outside`` "zeros" (GRFP, equation (1)). In float32,
    whatever comes in: lower precisions cannot address pixels. Zero flow is the identity, whole numbers are shifts.
    Differentiable in both.
    """
    height, width = x.shape[-2:]
    across, down = flow.float().unbind(1)
    moved = torch.stack([across * (2 / max(width - 1, 1)), down * (2 / max(height - 1, 1))], -1)
    grid = _still(height, width, flow.device) + moved
    return functional.grid_sample(x.float(), grid, mode="bilinear", padding_mode=outside, align_corners=True)


def _still(height: int, width: int, device: torch.device) -> Tensor:
    """Where pixels lie that do not move, -1..1 (H, W, 2)."""
    down, across = (torch.linspace(-1, 1, count, device=device) for count in (height, width))
    return torch.stack([across.expand(height, width), down[:, None].expand(height, width)], -1)


def follow_labels(labels: Tensor, flow: Tensor, beyond: int) -> Tensor:
    """Ids uint8 (N, H, W), read at the pixel nearest to where ``flow`` (N, 2, H, W) leads; ``beyond`` is outside."""
    height, width = labels.shape[-2:]
    columns, rows = places(flow)
    across, down = columns.round().long().clamp(0, width - 1), rows.round().long().clamp(0, height - 1)
    moved = labels.flatten(1).gather(1, (down * width + across).flatten(1)).view_as(labels)
    return moved.masked_fill(~inside(flow)[:, 0], beyond)


def reduce_flow(flow: Tensor, scale: int) -> Tensor:
    """The flow (N, 2, H, W) of pictures that are ``scale`` times smaller, rounded up: (N, 2, H / scale, W / scale)."""
    return flow if scale == 1 else functional.avg_pool2d(flow, scale, scale, ceil_mode=True) / scale

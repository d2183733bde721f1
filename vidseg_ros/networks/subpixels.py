"""Pictures of which the last layer gives the four pixels of each 2x2 square as planes: apart, and put together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from vidseg_ros.networks.blocks import SQUARE


def interleave(planes: Tensor, height: int, width: int) -> Tensor:
    """Planes (N, 1, h, w), or the four pixels of each square (N, 4, h, w), as (N, height, width)."""
    side = 2 if planes.shape[1] == SQUARE else 1
    return functional.pixel_shuffle(planes, side)[:, 0, :height, :width]


def whole(planes: Sequence[Tensor], height: int, width: int) -> Tensor:
    """``subpixel_logits``, or what was made of them, put together: (N, C, height, width)."""
    pixels, channels = torch.stack(list(planes), 2), planes[0].shape[1]
    return interleave(pixels.flatten(0, 1), height, width).view(-1, channels, height, width)


def deinterleave(pixels: Tensor, squares: int, height: int, width: int) -> Tensor:
    """The inverse of ``interleave``: (N, H, W) as planes (N, squares, height, width), padded with zeros."""
    if squares == 1:
        return pixels.unsqueeze(1)
    missing = (0, 2 * width - pixels.shape[-1], 0, 2 * height - pixels.shape[-2])
    padded = functional.pad(pixels.unsqueeze(1), missing)
    return functional.pixel_unshuffle(padded, 2)

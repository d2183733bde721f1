"""The motion-guided temporal loss of ETC (Liu et al. 2020), and the variant of its public code."""

from __future__ import annotations

import torch
from torch import Tensor

from vidseg_ros.flow.warp import inside, warp

STD = (0.229, 0.224, 0.225)  # of ImageNet, RGB 0..1: the public code compares frames in units of it


def temporal(logits: Tensor, frames: Tensor, flow: Tensor, on_logits: bool = False) -> Tensor:
    """Penalise predictions that change along the motion, where the two frames look alike.

    logits: (T, N, C, H, W). frames: RGB 0..255 (T, N, 3, H, W). flow: from each frame to the next, float32
    (T - 1, N, 2, H, W) in pixels. The mean, over all pixels of all pairs that stay in the picture, of
    V ||q_t - warp(q_t+1)||^2 on class probabilities q (equation (1)); ``on_logits`` takes what the public code does,
    the mean over classes, too, of (V z_t - V warp(z_t+1))^2 on logits z. V: ``visibility``. Returns a scalar, 0 for
    clips of one frame; at most 2 on probabilities.
    """
    scores = logits if on_logits else logits.softmax(2)
    motion = flow.flatten(0, 1)
    change = scores[:-1].flatten(0, 1) - warp(scores[1:].flatten(0, 1), motion)
    likeness = visibility(frames[:-1].flatten(0, 1), warp(frames[1:].flatten(0, 1), motion), on_logits)
    cost = (likeness * change).square().mean(1) if on_logits else (likeness * change.square()).sum(1)
    stays = inside(motion)[:, 0]
    return (cost * stays).sum() / stays.sum().clamp(min=1)


def visibility(frames: Tensor, warped: Tensor, summed: bool = False) -> Tensor:
    """ETC's occlusion mask V = exp(-|I_t - warp(I_t+1)|), (N, 1, H, W): 1 where two frames are equal.

    frames, warped: RGB 0..255 (N, 3, H, W). The paper leaves open what |.| means for colours: here intensities count
    0..1, and their absolute differences are averaged over the channels, so V is 1/e at least. ``summed`` takes what
    the public code does: the absolute value of the sum of the signed differences, each in units of ``STD``.
    """
    difference = (frames.float() - warped) / 255
    if not summed:
        return torch.exp(-difference.abs().mean(1, keepdim=True))
    return torch.exp(-(difference / difference.new_tensor(STD).view(3, 1, 1)).sum(1, keepdim=True).abs())

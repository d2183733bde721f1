"""What a student learns from a teacher (ETC, Liu et al. 2020): single frames, pairs of frames, and whole clips."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

PAIR_GRID = 32  # side of the grid of places, at most, whose predictions are compared
CLIP_GRID = 16  # of those whose features are compared, as in the public code
HIDDEN = 4  # channels of the embedding
GATES = 4
LARGEST_WEIGHT = 0.5  # of the embedding, whose weights are clipped after each step
ENLARGE = 0.1  # how much the embedding of the teacher grows, against the collapse of the embedding to zero


def single_frame(student: Tensor, teacher: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the student's class probabilities from the teacher's: SF.

    student, teacher: logits (T, N, C, H, W). Temperature 1, mean over all pixels of all frames. Returns a scalar.
    """
    target = teacher.log_softmax(2)
    return (target.exp() * (target - student.log_softmax(2))).sum(2).mean()


def pair_wise(student: Tensor, teacher: Tensor, grid: int = PAIR_GRID) -> Tensor:
    """Squared difference of the affinities of two consecutive frames: PF, equation (2).

    student, teacher: logits (T, N, C, H, W). Affinities: ``similarity`` of the class probabilities at all places of
    one frame and all of the next, at most ``grid`` x ``grid`` of them, means of areas. Returns a scalar, 0 for clips
    of one frame; at most 1.
    """
    if len(student) == 1:
        return student.new_zeros(())
    found, size = [], common_grid(grid, student, teacher)
    for logits in (student, teacher):
        pooled = pool(logits.softmax(2), size)
        found.append(similarity(pooled[:-1].flatten(0, 1), pooled[1:].flatten(0, 1)))
    return (found[0] - found[1]).square().mean()


def common_grid(most: int, *maps: Tensor) -> tuple[int, int]:
    """The (height, width) of a grid of at most ``most`` x ``most`` places that all maps (..., H, W) have."""
    height, width = (min(most, *sides) for sides in zip(*(x.shape[-2:] for x in maps), strict=True))
    return height, width


def pool(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Means of areas of (T, N, C, H, W): (height, width) ``size`` of them."""
    pooled = functional.adaptive_avg_pool2d(x.flatten(0, 1), size)
    return pooled.view(*x.shape[:3], *size)


def similarity(first: Tensor, second: Tensor) -> Tensor:
    """Cosine similarity of all places of two maps (B, C, H, W): (B, H * W, H * W), in float32 or better."""
    with torch.autocast(first.device.type, enabled=False):
        ways = [functional.normalize(_precise(x).flatten(2), dim=1) for x in (first, second)]
        return ways[0].transpose(1, 2) @ ways[1]


def _precise(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


class ClipEmbedding(nn.Module):
    """A ConvLSTM over the self-similarity maps of a clip: plain gates, tanh, no peepholes (Shi et al. 2015).

    It serves training only: it learns with the student, and student and teacher share it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.Conv2d(1 + HIDDEN, GATES * HIDDEN, 3, padding=1)
        self.clip()

    @torch.no_grad()
    def clip(self) -> None:
        """Keep the weights within their range."""
        for weight in self.parameters():
            weight.clamp_(-LARGEST_WEIGHT, LARGEST_WEIGHT)

    def forward(self, features: Tensor, size: tuple[int, int]) -> Tensor:
        """Features (T, N, F, h, w) to the embedding behind the last frame (N, HIDDEN, P, P), P places of a grid."""
        pooled = pool(features, size)
        flat = pooled.flatten(0, 1)
        maps = similarity(flat, flat)
        maps = maps.view(*pooled.shape[:2], *maps.shape[1:])
        h: Tensor = maps.new_zeros((maps.shape[1], HIDDEN, *maps.shape[2:]))
        c = h
        with torch.autocast(maps.device.type, enabled=False):
            for x in maps:
                i, f, o, g = self.gates(torch.cat([x.unsqueeze(1), h], 1)).chunk(GATES, 1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
        return h


def multi_frame(student: Tensor, teacher: Tensor, embedding: ClipEmbedding) -> Tensor:
    """Squared difference of the embeddings of a clip, their mean: MF.

    student, teacher: features before the classifier, (T, N, F, h, w), of any number of channels each. Returns a scalar.
    Its gradient also lets the embedding of the teacher grow, as the paper does against the collapse of the ConvLSTM to
    zero; the value knows nothing of that.
    """
    size = common_grid(CLIP_GRID, student, teacher)
    target: Tensor = embedding(teacher, size)
    grown = -ENLARGE * target.square().mean()
    cost: Tensor = (embedding(student, size) - target).square().mean() + (grown - grown.detach())
    return cost

"""Memory along the optical flow, on any network and without training (cf. GRFP, Nilsson and Sminchisescu 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vidseg_ros.flow.warp import inside, warp
from vidseg_ros.networks.memory import State
from vidseg_ros.networks.propagation import NEVER
from vidseg_ros.schema import require_finite, require_positive

MOST_EXPOSED = 2.0  # times as bright, or as dark, as the frame before a picture is believed to be
UNEXPOSED = 0.8  # share of the difference of two pictures of which less has to be left for it to be their exposure
REACH = 2  # pixels around an edge of the motion at which the flow is uncertain, too


@dataclass(frozen=True)
class FlowMemoryConfig:
    """How much of the past is kept: gain * exp(-decay * difference of the pictures, 0..255 - tearing(flow) / tear).

    Another exposure of the camera is no difference.
    """

    gain: float = 0.8
    decay: float = 0.07
    tear: float = 3.0  # change of the flow from pixel to pixel, pixels: at edges of what moves it is uncertain
    sharpening: float = 0.5  # undoes, in the mean, the blur of reading between pixels again and again

    def __post_init__(self) -> None:
        require_finite(**{"flow_memory.gain": self.gain, "flow_memory.decay": self.decay})
        require_positive(**{"flow_memory.tear": self.tear})


@dataclass(frozen=True, eq=False)
class Recalled:
    """The past at the places of today's pixels.

    past: (N, C, h, w). keep: the share of it that is kept, (N, 1, h, w). difference: of the grey
    pictures, but for their exposure, 0..255 (N, 1, h, w). picture: today's at this size, grey, float32 (N, 1, h, w).
    """

    past: Tensor
    keep: Tensor
    difference: Tensor
    picture: Tensor


class FlowMemory(torch.nn.Module):
    """Averages what the head of a network sees over time, along the flow and where the pictures agree.

    The head is linear in most networks, so this averages logits, at the cost of fewer and smaller channels.
    """

    state_names = ("posterior", "picture")

    def __init__(self, channels: int, scale: int, config: FlowMemoryConfig) -> None:
        super().__init__()
        self.channels, self.scale, self.config = channels, scale, config

    def initial_state(self, batch: int, height: int, width: int) -> State:
        """The state before the first of ``batch`` frames of ``height`` x ``width`` pixels."""
        size = (-(-height // self.scale), -(-width // self.scale))
        return torch.zeros(batch, self.channels, *size), torch.full((batch, 1, *size), NEVER)

    def forward(self, x: Tensor, frames: Tensor, flow: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance one step.

        x: what the head sees (N, C, h, w); frames: RGB 0..255 (N, 3, H, W); flow: from each pixel to its place in the
        frame before, pixels (N, 2, H, W). Returns the average, to take the place of x, and the new state.
        """
        recalled = self.recall(frames, flow, state)
        kept = (x + recalled.keep * (recalled.past - x)).to(x.dtype)
        return kept, (kept, recalled.picture.to(state[1].dtype))

    def recall(self, frames: Tensor, flow: Tensor, state: State) -> Recalled:
        """What the state says of today's pixels, and how far to trust it."""
        posterior, before = state
        flow = flow[..., :: self.scale, :: self.scale].float() / self.scale  # as smooth as its mean, and cheaper
        picture = reduce_picture(frames, self.scale)
        moved = warp(torch.cat([posterior.float(), before.float()], 1), flow)
        past = self._sharpened(moved[:, : self.channels])
        difference = differing(picture, moved[:, self.channels :])
        doubt = self.config.decay * difference + tearing(flow) / self.config.tear
        keep = self.config.gain * torch.exp(-doubt) * inside(flow)
        return Recalled(past, keep, difference, picture)

    def _sharpened(self, x: Tensor) -> Tensor:
        smooth = functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return x + self.config.sharpening * (x - smooth)


def differing(picture: Tensor, before: Tensor) -> Tensor:
    """How far two pictures (N, 1, h, w) are apart, pixel by pixel.

    Cameras set their exposure from frame to frame, which changes nothing that is seen: where that is most of what
    differs, ``before`` counts as bright in the mean as ``picture``.
    """
    plain, alike = (picture - before).abs(), (picture - _exposed_as(picture, before)).abs()
    return torch.where(_mean(alike) < UNEXPOSED * _mean(plain), alike, plain)


def _exposed_as(picture: Tensor, other: Tensor) -> Tensor:
    ratio = _mean(picture) / _mean(other).clamp_min(1.0)
    return other * ratio.clamp(1 / MOST_EXPOSED, MOST_EXPOSED)


def _mean(picture: Tensor) -> Tensor:
    return picture.mean((-2, -1), keepdim=True)


def tearing(flow: Tensor) -> Tensor:
    """How much the ``flow`` (N, 2, h, w) changes from a pixel to those beside it, |dx| + |dy|: (N, 1, h, w).

    The most within ``REACH`` pixels.
    """
    wide = functional.pad(flow, (0, 1, 0, 1), mode="replicate")
    beside, below = wide[..., :-1, 1:], wide[..., 1:, :-1]
    steepness = ((beside - flow).abs() + (below - flow).abs()).sum(1, keepdim=True)
    width = 2 * REACH + 1
    across = functional.max_pool2d(steepness, (1, width), 1, (0, REACH))  # both ways at once take twice as long
    return functional.max_pool2d(across, (width, 1), 1, (REACH, 0))


def reduce_picture(frames: Tensor, scale: int) -> Tensor:
    """RGB frames (N, 3, H, W) in grey, at the size of features that are ``scale`` times smaller, rounded up.

    Returns the mean of channels and pixels, float32 (N, 1, h, w). One convolution: faster than pooling, then a mean.
    """
    height, width = frames.shape[-2:]
    whole = functional.pad(frames.float(), (0, -width % scale, 0, -height % scale), mode="replicate")
    mean = torch.full((1, 3, scale, scale), 1 / (3 * scale**2), device=frames.device)
    with torch.autocast(frames.device.type, enabled=False):
        return functional.conv2d(whole, mean, stride=scale)

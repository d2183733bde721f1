"""Networks for inference: batch norms folded away, equal but for rounding."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from vidseg_ros.networks.blocks import NormPReLU


class ScaledPReLU(nn.Module):
    """PReLU(scale * x + shift), per channel; with neither, a PReLU. ``slope`` (channels,) or one for all, (1,)."""

    def __init__(self, slope: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> None:
        super().__init__()
        for name, value in (("slope", slope), ("scale", scale), ("shift", shift)):
            self.register_buffer(name, None if value is None else value.detach().clone().view(-1, 1, 1))
        self.convex = bool((slope <= 1).all())

    def forward(self, x: Tensor) -> Tensor:
        if self.scale is not None:
            x = torch.addcmul(self.get_buffer("shift"), x, self.get_buffer("scale"))
        slope = self.get_buffer("slope")
        # runtimes fuse this with what stands before it, which they do not do with a PReLU
        return torch.maximum(x, slope * x) if self.convex else x.clamp(min=0) + slope * x.clamp(max=0)


def fold_norms(module: nn.Module) -> None:
    """Replace batch norms in place, in all children: into the convolution before them, or as scale and shift.

    Dropout, which only trains, is left out.
    """
    for name, child in module.named_children():
        if isinstance(child, NormPReLU):
            setattr(module, name, ScaledPReLU(child.slope, *_affine(child.norm)))
        elif isinstance(child, nn.Dropout2d):
            setattr(module, name, nn.Identity())
        elif isinstance(child, nn.PReLU):
            setattr(module, name, ScaledPReLU(child.weight))
        elif isinstance(child, nn.Sequential) and isinstance(child[0], nn.Conv2d | nn.ConvTranspose2d):
            setattr(module, name, nn.Sequential(*_folded(list(child))))
        else:
            fold_norms(child)


def _folded(layers: list[nn.Module]) -> list[nn.Module]:
    """A convolution and what follows it, without the batch norm directly behind it."""
    first, *rest = layers
    if rest and isinstance(rest[0], NormPReLU):
        first, rest[0] = merge_norm(first, rest[0])
    elif rest and isinstance(rest[0], nn.BatchNorm2d):
        first = _merged(first, rest.pop(0))
    tail = nn.Sequential(*rest)
    fold_norms(tail)
    return [first, *tail]


def merge_norm(convolution: nn.Module, norm: nn.Module) -> tuple[nn.Module, ScaledPReLU]:
    """The convolution with the batch norm behind it in its weights, and the PReLU alone."""
    assert isinstance(norm, NormPReLU)
    return _merged(convolution, norm.norm), ScaledPReLU(norm.slope)


def _merged(convolution: nn.Module, norm: nn.Module) -> nn.Module:
    assert isinstance(convolution, nn.Conv2d | nn.ConvTranspose2d)
    assert isinstance(norm, nn.BatchNorm2d)
    merged = copy.deepcopy(convolution)
    weight, bias = fold_into(convolution, norm)
    merged.weight, merged.bias = nn.Parameter(weight), nn.Parameter(bias)
    return merged


def fold_into(convolution: nn.Conv2d | nn.ConvTranspose2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """The weight scaled by the batch norm along its output dimension, and the bias."""
    scale, shift = _affine(norm)
    dim = int(isinstance(convolution, nn.ConvTranspose2d))
    bias = shift if convolution.bias is None else shift + convolution.bias.detach() * scale
    weight = convolution.weight.detach()
    return weight * scale.view([-1 if d == dim else 1 for d in range(weight.ndim)]), bias


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Scale and shift of a batch norm at inference."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias.detach() - norm.running_mean * scale

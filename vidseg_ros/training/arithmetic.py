"""Whether this machine computes the convolutions of a network right in a lower precision, forward and backward.

PyTorch 2.13 on CPUs with avx512_bf16 gives weight gradients that are not finite where features lie channels last in
memory: of 3x3 convolutions of 19 to 28 and of 51 channels, for example, if they are dilated.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from itertools import product

import torch
from torch import Tensor, nn

EXACT = "32-true"
DTYPES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
BATCHES = (2, 8)
SIDES = (24, 32)  # height and width of the features that are tried
TOLERANCE = 0.05  # of the largest value; rounding to bf16 leaves a tenth of that
PASSES = ("output", "gradient of the input", "gradient of the weight")
Convolution = nn.Conv2d | nn.ConvTranspose2d


def memory_format(device: str, precision: str) -> torch.memory_format:
    """How weights and frames of a training lie in memory: channels last, but in a lower precision on a CPU."""
    return torch.channels_last if device != "cpu" or precision == EXACT else torch.contiguous_format


def usable_precision(
    networks: Iterable[nn.Module], precision: str, device: str, say: Callable[[str], None], compiled: bool = False
) -> str:
    """``precision`` where this machine gets it right for all convolutions of the networks, else EXACT; says which.

    compiled: torch.compile lays features out as it likes.
    """
    if precision == EXACT:
        return EXACT
    kinds = {str(module): module for network in networks for module in convolutions(network)}
    layouts = {memory_format(device, precision), *([torch.channels_last] if compiled else [])}
    faults = [
        f"{fault} of {kind}" for kind, module in kinds.items() if (fault := wrong(module, precision, device, layouts))
    ]
    if faults:
        say(
            f"precision {precision} is wrong on this machine for {len(faults)} of {len(kinds)} kinds of convolution "
            f"(first the {faults[0]}); training in {EXACT}"
        )
        return EXACT
    say(f"precision {precision}: all {len(kinds)} kinds of convolution are right on this machine")
    return precision


def convolutions(network: nn.Module) -> Iterator[Convolution]:
    """The convolutions of a network."""
    return (module for module in network.modules() if isinstance(module, Convolution))


def wrong(module: Convolution, precision: str, device: str, layouts: Iterable[torch.memory_format]) -> str:
    """Which of PASSES is far from float32, or not finite, for features of standard deviation one; "" if none is."""
    trial = copy.deepcopy(module).to(device)
    for batch, layout in product(BATCHES, layouts):
        rng = torch.Generator().manual_seed(batch)  # the random numbers of the training are left alone

        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=rng).to(device, memory_format=layout)  # noqa: B023 - called here

        x, trial.weight.data = draw(batch, module.in_channels, *SIDES), draw(*module.weight.shape)
        seed = draw(batch, *trial(x[:1]).shape[1:])
        exact, given = (_passes(trial, x, seed, dtype) for dtype in (None, DTYPES[precision]))
        for name, wanted, value in zip(PASSES, exact, given, strict=True):
            error = (value.float() - wanted).abs().max()
            if not error <= TOLERANCE * wanted.abs().max():  # NaN is no number that is small
                return name
    return ""


def _passes(module: Convolution, x: Tensor, seed: Tensor, dtype: torch.dtype | None) -> tuple[Tensor, Tensor, Tensor]:
    """Output and gradients of a convolution whose output has the gradient ``seed``, mixed with ``dtype`` if any."""
    x = x.clone().requires_grad_()
    with torch.autocast(x.device.type, dtype, enabled=dtype is not None):
        y = module(x)
    of_input, of_weight = torch.autograd.grad(y, (x, module.weight), seed.to(y.dtype))
    return y.detach(), of_input, of_weight

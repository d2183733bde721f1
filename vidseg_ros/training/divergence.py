"""Notices losses and gradients that are not finite, without waiting for a GPU at each step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vidseg_ros.errors import UserError

CHECK_EVERY = {"cuda": 50}  # steps; elsewhere each one


class DivergenceWatch:
    """Collects values, and looks at them now and then: reading one waits for all that the device has to do."""

    def __init__(self, trainable: str) -> None:
        self._trainable = trainable
        self._seen: list[tuple[int, str, Tensor]] = []

    def collect(self, step: int, what: str, value: Tensor) -> None:
        """Take the scalar of ``step``, and look where it is time. Raises UserError as ``check`` does."""
        self._seen.append((step, what, value.detach().float()))
        if step % check_every(value.device.type) == 0:
            self.check()

    def check(self) -> None:
        """Raise UserError for the first value that is not finite, naming its step."""
        if not self._seen:
            return
        seen, self._seen = self._seen, []
        values = torch.stack([value for *_, value in seen]).tolist()
        for (step, what, _), value in zip(seen, values, strict=True):
            if not math.isfinite(value):
                where = f"at step {step} of a phase that trains '{self._trainable}'"
                raise UserError(f"the {what} is {value} {where}; lower its learning_rate and go on with --resume")


def check_every(device: str) -> int:
    """Steps between two looks on a type of device."""
    return CHECK_EVERY.get(device, 1)

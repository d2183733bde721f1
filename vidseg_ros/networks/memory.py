"""What remembers: modules whose state passes from step to step as plain tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

State = tuple[Tensor, ...]
"""What is remembered: tensors whose first dimension is the batch; ``()`` where nothing is."""


class Memory(nn.Module, ABC):
    """The part of a network that remembers. Names, shapes and fresh values of its state are its own."""

    state_names: ClassVar[tuple[str, ...]]

    @abstractmethod
    def initial_state(self, batch: int, height: int, width: int) -> State:
        """The state of ``batch`` fresh sequences with features of ``height`` x ``width``."""

    def __call__(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        return super().__call__(x, state)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Static:
    """A convolution without memory that a cell replaces, and how large its input and output are (root mean square)."""

    weight: Tensor  # (out, in, k, k)
    input_size: float = 1.0
    output_size: float = 1.0

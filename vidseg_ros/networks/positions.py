"""What stands at the positions of a network during one step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vidseg_ros.errors import UserError
from vidseg_ros.flow.warp import inside, reduce_flow, warp
from vidseg_ros.networks.memory import State
from vidseg_ros.networks.propagation import Planes

if TYPE_CHECKING:
    from vidseg_ros.networks.streaming import StreamingNetwork

Watch = Mapping[str, list[Tensor]]
"""What training looks at beside the logits, by name: each step appends to the lists. A name is a position, whose input
is wanted (N, C, h, w), ``HEAD`` or ``AUXILIARY``."""

HEAD = "head"
"""What the head sees of the frame (N, F, h, w)."""

AUXILIARY = "auxiliary"
"""Logits of the auxiliary head (N, classes, h, w), where a network has one."""


class Positions:
    """``at(position, x)``: what stands at a position, applied to x; it moves the state of the network.

    Raises UserError where something remembers along the flow, and nobody gives it.
    """

    def __init__(
        self,
        network: StreamingNetwork,
        frame: Tensor,
        state: State | None,
        flow: Tensor | None,
        watch: Watch | None = None,
    ) -> None:
        self._network, self._frame, self._flow, self._watch = network, frame, flow, watch or {}
        self._place = network.config.cell.position if network.config.cell else ""
        own = 0 if network.cell is None else len(network.cell.state_names)
        self._own: State | None = None if state is None else state[:own]
        self._along: State | None = None if state is None else state[own:]
        if state is not None and flow is None and network.needs_flow:
            raise UserError(
                f"network '{network.config.name}' remembers along the optical flow; give it the flow from each frame "
                "to the one before"
            )

    @property
    def state(self) -> State:
        """The state after the step."""
        return (*(self._own or ()), *(self._along or ()))

    def __call__(self, position: str, x: Tensor) -> Tensor:
        self._show(position, x)
        if position == self._place and self._network.cell is not None:
            x, self._own = self._network.cell(x, self._moved())
        elif position in self._network.reductions:
            x = self._network.reductions[position](x)
        return x

    def _show(self, position: str, x: Tensor) -> None:
        """Append what is wanted of this position."""
        if position in self._watch:
            self._watch[position].append(x)
        if AUXILIARY in self._watch and position == self._network.auxiliary_position:
            assert self._network.auxiliary is not None, "the form for inference has no auxiliary head"
            self._watch[AUXILIARY].append(self._network.auxiliary(x))

    def propagate(self, seen: Tensor, planes: Planes) -> list[Tensor]:
        """Logits of what the head sees, and of what is remembered along the flow; ``planes`` makes them."""
        self._show(HEAD, seen)
        if self._network.propagation is None:
            return planes(seen)
        logits, self._along = self._network.propagation(seen, planes, self._frame, self._flow, self._along)
        return logits

    def _moved(self) -> State | None:
        """The state of the cell, moved along the flow where that is wanted; what comes into the picture is fresh."""
        network, flow = self._network, self._flow
        if self._own is None or flow is None or network.cell is None or not network.warps_cell:
            return self._own
        flow = reduce_flow(flow.float(), network.cell_stride())
        fresh = network.cell.initial_state(len(flow), *flow.shape[-2:])
        known = inside(flow)
        return tuple(
            torch.where(known, warp(part, flow).to(part.dtype), first)
            for part, first in zip(self._own, fresh, strict=True)
        )

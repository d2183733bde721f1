"""First weights from another network: what fits, translated between label sets."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.errors import UserError
from vidseg_ros.labels import LabelSet, translation
from vidseg_ros.networks import StreamingNetwork
from vidseg_ros.networks.convlstm import ConvLSTM
from vidseg_ros.networks.memory import Static


def transfer(
    start: Checkpoint, network: StreamingNetwork, labels: LabelSet, init_from_convolution: bool = True
) -> list[str]:
    """Copy the tensors of ``start`` whose name and shape agree into ``network``.

    A tensor whose shapes differ in one dimension, where they count the classes of the two label sets, is translated:
    each class gets the mean of its counterparts. With ``init_from_convolution``, a cell that ``start`` lacks begins as
    an average over time of the convolution it replaces, where its activation can be linear. Returns the names of what
    was of no use. Raises UserError where nothing fits.
    """
    given, state = start.network.state_dict(), network.state_dict()
    fitting = {}
    for name, tensor in given.items():
        if name in state:
            moved = (
                tensor if tensor.shape == state[name].shape else _translate(tensor, state[name], start.labels, labels)
            )
            if moved is not None:
                fitting[name] = moved
    if not fitting:
        raise UserError("the start has no tensor that fits the network; name a checkpoint of the same architecture")
    network.load_state_dict(state | fitting)
    if init_from_convolution and isinstance(network.cell, ConvLSTM) and start.network.cell is None:
        static = _fitting_static(network, given)
        if static is not None:
            network.cell.init_from_convolution(static)
            fitting |= {name: t for name, t in given.items() if t is static.weight}
    return sorted(given.keys() - fitting.keys())


def _fitting_static(network: StreamingNetwork, given: Mapping[str, Tensor]) -> Static | None:
    """What the cell replaces in the tensors ``given``, where it has its channels and is no smaller."""
    static, cell = network.static(given), network.config.cell
    if static is None or cell is None:
        return None
    place, (outputs, inputs, kernel, _) = network.all_positions(network.config)[cell.position], static.weight.shape
    fits = (outputs, inputs) == (place.out_channels, place.in_channels) and kernel <= cell.kernel
    return static if fits else None


def _translate(source: Tensor, target: Tensor, have: LabelSet, want: LabelSet) -> Tensor | None:
    """Move the class dimension of ``source`` from one label set to another; None where there is none."""
    if source.ndim != target.ndim or have.name == want.name:
        return None
    different = [d for d in range(source.ndim) if source.shape[d] != target.shape[d]]
    if [(source.shape[d], target.shape[d]) for d in different] != [(len(have), len(want))]:
        return None
    (dim,) = different
    table = translation(have, want)[: len(have)]
    groups = [torch.from_numpy(table == number).nonzero().flatten() for number in range(len(want))]
    slices = [source.index_select(dim, g).mean(dim) if len(g) else target.select(dim, n) for n, g in enumerate(groups)]
    return torch.stack(slices, dim)

"""Several trainings in one network: the mean of their weights ("model soup", Wortsman et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.errors import UserError
from vidseg_ros.networks import build


def average(checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """Return a checkpoint with the mean of the weights and batch norm statistics of one or more.

    They have to come from one start: the mean of networks that were trained apart labels nothing. Inference defaults
    are those of the first; ``about`` holds under ``average_of`` what is known of each, where there are several. Raises
    UserError for networks that differ.
    """
    first = checkpoints[0]
    for number, other in enumerate(checkpoints[1:], 2):
        if other.network.config != first.network.config:
            raise UserError(f"checkpoint {number} has another network than the first; average trainings of one network")
        if other.labels != first.labels:
            raise UserError(
                f"checkpoint {number} has label set '{other.labels.name}', the first '{first.labels.name}'; "
                "average trainings of one label set"
            )
    states = [checkpoint.network.state_dict() for checkpoint in checkpoints]
    network = build(first.network.config)
    network.load_state_dict({name: _mean([state[name] for state in states]) for name in states[0]})
    about = {"average_of": [dict(c.about) for c in checkpoints]} if len(checkpoints) > 1 else first.about
    return Checkpoint(network.eval(), first.labels, about, first.inference)


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    """Return the mean; of counters, the first."""
    return torch.stack(list(tensors)).mean(0) if tensors[0].is_floating_point() else tensors[0]

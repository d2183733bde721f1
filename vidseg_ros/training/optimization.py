"""What moves the weights: groups of parameters, the optimiser, and the pace of learning over the steps."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from vidseg_ros.networks import StreamingNetwork
from vidseg_ros.training.config import PhaseConfig, TrainConfig

POLY_POWER = 0.9
BACKBONES = ("encoder", "backbone")
HEADS = ("head", "classifier", "auxiliary")  # of networks without a part of these names; or else the last part


def pace(step: int, steps: int, config: TrainConfig) -> float:
    """Return the share of the learning rate at ``step``."""
    done = min(step / steps, 1.0)
    fall = (1 - done) ** POLY_POWER if config.schedule == "poly" else 0.5 + 0.5 * math.cos(math.pi * done)
    return min((step + 1) / (config.warm_up * steps + 1), fall)


def parameter_groups(module: nn.Module, network: StreamingNetwork, head_factor: float) -> list[dict[str, Any]]:
    """Groups of what learns in ``module``, with the ``factor`` of their learning rate.

    The heads are what a network has beside its encoder or backbone; where it has none, its last layers.
    """
    if head_factor == 1:
        return [{"params": [p for p in module.parameters() if p.requires_grad], "factor": 1.0}]
    deep = [part for name in BACKBONES if isinstance(part := getattr(network, name, None), nn.Module)]
    if deep:
        below = {id(parameter) for part in deep for parameter in part.parameters()}
        heads = {id(parameter) for parameter in network.parameters()} - below
    else:
        trained = {name: part for name, part in network.named_children() if any(True for _ in part.parameters())}
        last = [part for name, part in trained.items() if name in HEADS] or list(trained.values())[-1:]
        heads = {id(parameter) for part in last for parameter in part.parameters()}
    own = getattr(module, "head", None)  # the classifier of an encoder that trains alone
    heads |= {id(parameter) for parameter in own.parameters()} if isinstance(own, nn.Module) else set()
    learning = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learning if (id(p) in heads) == quick], "factor": factor}
        for quick, factor in ((False, 1.0), (True, head_factor))
    ]
    return [group for group in groups if group["params"]]


def make_optimizer(config: TrainConfig, phase: PhaseConfig, groups: list[dict[str, Any]], fused: bool) -> Optimizer:
    """AdamW or SGD with momentum; ``fused`` ones can skip a step by themselves, on the device."""
    rate = phase.learning_rate
    rated = [{**group, "lr": rate * group["factor"]} for group in groups]
    if config.optimizer == "sgd":
        return SGD(rated, rate, config.momentum, weight_decay=config.weight_decay, fused=fused or None)
    return AdamW(rated, rate, phase.betas, weight_decay=config.weight_decay, fused=fused or None)


def require_own_state(optimizer: Optimizer) -> None:
    """Raise ValueError where an optimiser was given the state of another one, which PyTorch lets pass."""
    if not all(optimizer.defaults.keys() <= group.keys() for group in optimizer.param_groups):
        raise ValueError("it is of another optimizer")
    for parameter, held in optimizer.state.items():
        if any(value.dim() and value.shape != parameter.shape for value in held.values() if torch.is_tensor(value)):
            raise ValueError("it is of other parameters")

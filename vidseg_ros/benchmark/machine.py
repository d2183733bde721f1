"""What the work is, and what this machine could do at best."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from vidseg_ros.checkpoints.checkpoint import load_checkpoint
from vidseg_ros.networks import StreamingNetwork

PRODUCT = 2048  # side of the matrices that measure the floor
COPY_MB = 256


def multiply_adds(checkpoint: str, size: tuple[int, int]) -> float:
    """Multiply-adds of one step in units of 10^9, at ``size`` (width, height)."""
    return multiply_adds_of(load_checkpoint(checkpoint).network, size)


def multiply_adds_of(network: StreamingNetwork, size: tuple[int, int]) -> float:
    """The same of a network; it is counted, not computed."""
    width, height = size
    frame = torch.zeros(1, 3, height, width, dtype=torch.uint8, device="meta")
    network = copy.deepcopy(network).to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(frame)
    return float(counter.get_total_flops()) / 2e9


def machine_floor() -> dict[str, float]:
    """Floor of this machine's CPU: GFLOP/s of a float32 matrix product, GB/s of a copy."""
    a, b = torch.rand(PRODUCT, PRODUCT), torch.rand(PRODUCT, PRODUCT)
    source = torch.zeros(COPY_MB << 18)
    target = torch.empty_like(source)
    product = min(_seconds(lambda: torch.mm(a, b)) for _ in range(7))
    copy = min(_seconds(lambda: target.copy_(source)) for _ in range(7))
    return {"gflops": round(2 * PRODUCT**3 / product / 1e9, 1), "copy_gb_s": round(COPY_MB / 1024 / copy, 2)}


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start

"""Train a streaming network on clips from labelled stills and the street world."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vidseg_ros.checkpoint import Checkpoint, require_writable
from vidseg_ros.config import PhaseConfig, TrainConfig
from vidseg_ros.data import Clip
from vidseg_ros.data.camvid import camvid_frames, find_dataset
from vidseg_ros.data.stills import still_to_clip
from vidseg_ros.data.synthetic import street_clip
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID, IGNORE
from vidseg_ros.losses import class_weights, clip_loss
from vidseg_ros.networks import StreamingNetwork, build, unroll

SAVE_EVERY = 100  # steps

Progress = Callable[[int, int, dict[str, float]], None]
"""Called after each step with the phase, the step and the losses."""


def train(
    config: TrainConfig, output: Path, start: Checkpoint | None, device: str, progress: Progress, compiled: bool = False
) -> Checkpoint:
    """Train through all phases, saving to ``output`` every ``SAVE_EVERY`` steps and at the end of each phase.

    ``start`` gives the first weights where names and shapes agree; ``compiled`` uses torch.compile, which needs a C++
    compiler. Raises UserError when the loss is not finite.
    """
    require_writable(output)
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    network = build(config.network)
    if start is not None:
        copy_matching(start.network, network)
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss = torch.compile(clip_loss) if compiled else clip_loss
    if compiled:
        network.compile()
    stills = [frame.read() for frame in camvid_frames(find_dataset(config.data))]
    weights = class_weights(class_frequency(stills, len(CAMVID))).to(device)
    about = {"training": asdict(config), "start": dict(start.about) if start else {}}
    checkpoint = Checkpoint(network, CAMVID, about)
    for number, phase in enumerate(config.phases):
        clips = random_clips(stills, phase, config.network.input.size, rng)
        for step, losses in _run_phase(network, phase, clips, weights, config.weight_decay, loss):
            progress(number, step, losses)
            if (step + 1) % SAVE_EVERY == 0 or step + 1 == phase.steps:
                checkpoint.save(output)
    network.eval()
    return checkpoint


def _run_phase(
    network: StreamingNetwork,
    phase: PhaseConfig,
    clips: Iterator[Clip],
    weights: Tensor,
    weight_decay: float,
    loss: Callable[..., dict[str, Tensor]],
) -> Iterator[tuple[int, dict[str, float]]]:
    """Take the optimiser steps of one phase; yields the step and its losses."""
    optimizer = torch.optim.AdamW(network.parameters(), phase.learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, phase.steps)
    network.train()
    if phase.freeze_norm:
        _freeze_norm(network)
    for step in range(phase.steps):
        frames, labels = to_batch([next(clips) for _ in range(phase.batch)], weights.device)
        logits, _ = unroll(network, frames)
        losses = loss(logits, labels, weights, phase.lambda_incons)
        if not torch.isfinite(losses["total"]):
            raise UserError(f"the loss is {losses['total'].item()} at step {step}; lower the learning rate")
        optimizer.zero_grad()
        losses["total"].backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        yield step, {name: value.item() for name, value in losses.items()}


def _freeze_norm(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def copy_matching(source: nn.Module, target: nn.Module) -> None:
    """Copy the tensors whose name and shape agree."""
    state = target.state_dict()
    given = source.state_dict()
    state.update({k: v for k, v in given.items() if k in state and v.shape == state[k].shape})
    target.load_state_dict(state)


def class_frequency(stills: Sequence[Clip], classes: int) -> Tensor:
    """Return the share of each class among labelled pixels, float (classes,)."""
    counts = sum(np.bincount(still.labels.ravel(), minlength=IGNORE + 1)[:classes] for still in stills)
    return torch.as_tensor(np.asarray(counts) / np.sum(counts), dtype=torch.float32)


def random_clips(
    stills: Sequence[Clip], phase: PhaseConfig, size: tuple[int, int], rng: np.random.Generator
) -> Iterator[Clip]:
    """Yield clips for ever: moving views of ``stills``, each still once a round, and the share of street world."""
    while True:
        for index in rng.permutation(len(stills)):
            while rng.random() < phase.synthetic_share:
                yield street_clip(phase.clip_length, size, rng)
            yield still_to_clip(stills[index], phase.clip_length, size, rng)


def to_batch(clips: Sequence[Clip], device: torch.device) -> tuple[Tensor, Tensor]:
    """Stack clips: frames uint8 (T, N, 3, H, W) and labels uint8 (T, N, H, W)."""
    frames = torch.from_numpy(np.stack([clip.frames for clip in clips], 1)).permute(0, 1, 4, 2, 3)
    labels = torch.from_numpy(np.stack([clip.labels for clip in clips], 1))
    return frames.to(device), labels.to(device)

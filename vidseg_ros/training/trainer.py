"""Train a streaming network through the phases of a configuration."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.data.datasets import open_dataset
from vidseg_ros.data.mixture import class_frequency
from vidseg_ros.data.stored import StoredFrame, sequences
from vidseg_ros.errors import UserError
from vidseg_ros.files import require_writable
from vidseg_ros.labels import LabelSet, find_label_set
from vidseg_ros.losses import class_weights
from vidseg_ros.networks import StreamingNetwork, build
from vidseg_ros.training.arithmetic import memory_format, usable_precision
from vidseg_ros.training.callbacks import KeepBest, Progress, Say
from vidseg_ros.training.config import TrainConfig, phase_network
from vidseg_ros.training.loading import StepSampler, clips_of, loader
from vidseg_ros.training.module import SegmentationModule
from vidseg_ros.training.run import (
    BEST,
    DONE,
    STATE,
    RunFolder,
    WholeFiles,
    interruptible,
    is_first_process,
    load_result,
    unusable,
)
from vidseg_ros.training.teaching import Ensemble
from vidseg_ros.training.transfer import transfer

EXPECTED_WARNINGS = (
    "does not have many workers",
    "resuming from a checkpoint that ended",
    "Checkpoint directory",
    "have no `val_dataloader`",
    "smaller than the logging interval",
    "LeafSpec",  # of Lightning's own making
)
NAMED = 12  # tensors, in a line about several


@dataclass(frozen=True)
class Hardware:
    """Where and how fast to train; it does not change the result but for rounding."""

    device: str = "cpu"  # cpu or cuda, as torch names it
    workers: int = 0  # processes that draw clips
    compiled: bool = False  # torch.compile, which needs a C++ compiler


@dataclass(frozen=True)
class TrainingRun:
    """What all phases of a run share."""

    config: TrainConfig
    labels: LabelSet
    run: RunFolder
    validation: Sequence[Sequence[StoredFrame]]
    hardware: Hardware
    say: Say


@interruptible()
def train(
    config: TrainConfig, output: Path, start: Checkpoint | None, hardware: Hardware, say: Say, resume: bool = False
) -> Checkpoint:
    """Train through all phases and write the result to ``output``; ``output`` with suffix .run holds the state.

    ``start`` gives the first weights where they fit; ``say`` gets lines of progress. Under torchrun, every process
    calls this and takes its share of each batch. Raises UserError for bad data or configuration, and where the loss
    is not finite; KeyboardInterrupt where it is interrupted, which keeps the state.
    """
    require_writable(output)
    labels = find_label_set(config.labels)
    run = RunFolder(output, config, resume)
    quiet()
    validation = list(sequences(open_dataset(config.validation, labels))) if config.validation else []
    config = replace(config, precision=_checked_precision(config, hardware, say))
    job = TrainingRun(config, labels, run, validation, hardware, say)
    for number, phase in enumerate(config.phases):
        done = run.phase(number) / DONE
        if not done.is_file():
            torch.manual_seed(config.seed + number)
            network = build(phase_network(config.network, phase))
            if start is not None:
                left = transfer(start, network, labels, config.init_from_convolution)
                if number == 0 and left and is_first_process():
                    say(f"{len(left)} tensors of the weights do not fit and are left out: {_some(left)}")
            _run_phase(job, number, network)
        start = load_result(done, phase_network(config.network, phase))
    assert start is not None, "a configuration has at least one phase"
    about = {"training": asdict(config), "metrics": start.about["metrics"], "steps": start.about["step"]}
    result = Checkpoint(start.network, labels, about)
    if is_first_process():
        result.save(output)
        say(f"wrote {output}")
    return result


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _checked_precision(config: TrainConfig, hardware: Hardware, say: Say) -> str:
    """The precision of the config where this machine is right in it; each process looks, and the first one says."""
    networks = [build(phase_network(config.network, phase)) for phase in config.phases]
    heard = say if is_first_process() else lambda line: None
    return usable_precision(networks, config.precision, hardware.device, heard, hardware.compiled)


def _run_phase(job: TrainingRun, number: int, network: StreamingNetwork) -> None:
    """Train one phase, going on where a killed one stood, and write its result."""
    config, labels, hardware = job.config, job.labels, job.hardware
    phase, folder = config.phases[number], job.run.phase(number)
    dataset = clips_of(config, phase, labels, number)
    labelled = not all(source.unlabelled for source in config.data if source.share > 0)
    frequency = torch.as_tensor(class_frequency(dataset, len(labels), labelled), dtype=torch.float32)
    weights = class_weights(frequency, config.loss.weight_power)
    teacher = Ensemble(config.teacher, labels, job.say) if config.teacher else None
    module = SegmentationModule(network, labels, config, phase, weights, job.validation, teacher)
    if hardware.compiled:
        network.compile()
        module.objective.compile()
        if teacher is not None:
            teacher.compile()
    network.to(memory_format=memory_format(hardware.device, config.precision))  # type: ignore[call-overload]
    trainer = _trainer(job, number, bool(module.validation))
    if phase.batch % trainer.world_size:
        raise UserError(
            f"phases.batch is {phase.batch}, which {trainer.world_size} processes cannot share evenly; use a multiple"
        )
    sampler = StepSampler(
        lambda: trainer.global_step, phase.steps, phase.batch, trainer.global_rank, trainer.world_size
    )
    clips = loader(dataset, sampler, hardware.workers, hardware.device != "cpu")
    rounds = -(-len(module.validation) // trainer.world_size)  # as many in each process, or they wait for each other
    judged = range(trainer.global_rank, rounds * trainer.world_size, trainer.world_size) if rounds else None
    _fit(trainer, module, clips, judged, folder / STATE)
    if judged and phase.steps % min(config.validate_every, phase.steps):
        trainer.validate(module, judged, verbose=False)
    if trainer.is_global_zero:
        best = folder / BEST
        last = replace(module.snapshot(), about={"step": phase.steps, "metrics": {}})
        (load_result(best, network.config) if best.is_file() else last).save(folder / DONE)
    trainer.strategy.barrier()


def _fit(trainer: Trainer, module: SegmentationModule, clips: Any, judged: range | None, state: Path) -> None:
    """Train, from the ``state`` of a killed run where there is one. Raises UserError, also where that does not fit."""
    try:
        trainer.fit(module, clips, judged, ckpt_path=str(state) if state.is_file() else None)
    except UserError as error:
        raise _plain(error) from error
    except Exception as error:
        if module.begun or not state.is_file():
            raise
        raise unusable(state, error, "remove it to train its phase anew") from error


def _plain(error: UserError) -> UserError:
    """The error without the traceback that a process which draws clips hands over with it."""
    return UserError(str(error).rpartition(f"{UserError.__module__}.{UserError.__name__}: ")[2])


def _trainer(job: TrainingRun, number: int, judged: bool) -> Trainer:
    """Return the Lightning trainer of one phase, over the processes of torchrun where it started this one."""
    config, phase, folder = job.config, job.config.phases[number], job.run.phase(number)
    device = torch.device(job.hardware.device)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    keep_state = ModelCheckpoint(
        folder,
        Path(STATE).stem,
        train_time_interval=timedelta(minutes=config.save_minutes),
        enable_version_counter=False,
    )
    callbacks = [Progress(job.say, f"phase {number + 1}/{len(config.phases)}"), keep_state]
    if config.ema_decay:
        callbacks.append(EMAWeightAveraging(decay=config.ema_decay))
    if judged:
        callbacks.append(KeepBest(folder / BEST, config.monitor))
    return Trainer(
        accelerator=device.type,
        devices=[device.index] if device.index is not None and world == 1 else local,
        num_nodes=world // local,
        strategy="ddp" if world > 1 else "auto",
        precision=config.precision,  # type: ignore[arg-type]
        max_steps=phase.steps,
        val_check_interval=min(config.validate_every, phase.steps) if judged else None,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=TensorBoardLogger(job.run.path, "tensorboard", folder.name),
        callbacks=callbacks,
        plugins=[WholeFiles()],
        benchmark=device.type == "cuda",  # all batches have one shape
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def quiet() -> None:
    """Keep Lightning's greetings and its advice on what is on purpose here out of the progress."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", f".*{message}.*")

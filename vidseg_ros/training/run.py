"""The folder of a training run: from what a killed run goes on."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from vidseg_ros.checkpoints.checkpoint import Checkpoint, load_checkpoint
from vidseg_ros.errors import UserError, describe
from vidseg_ros.files import require_writable, write_atomic
from vidseg_ros.networks.config import NetworkConfig
from vidseg_ros.schema import from_dict, parse_json
from vidseg_ros.training.config import TrainConfig

STATE = "state.ckpt"
BEST = "best.safetensors"
DONE = "done.safetensors"
PARTS = {"callbacks", "global_step", "loops", "lr_schedulers", "optimizer_states", "state_dict"}  # of a state
LONGEST = 200  # characters of what a library says
GO_ON = "go on with --resume"
OF_WORKERS, TERMINATED = "DataLoader worker", "killed by signal: Terminated"  # in what PyTorch says


def is_first_process() -> bool:
    """Tell whether this process writes: the only one, or rank 0 of torchrun."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def interruptible() -> Iterator[None]:
    """Say how to go on where training is interrupted, whatever Lightning and PyTorch make of it.

    Lightning ends the process by SystemExit. What draws clips may be killed; SIGTERM often comes to all processes.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        raise KeyboardInterrupt(GO_ON) from error
    except (ConnectionError, EOFError) as error:
        raise _lost(error) from error
    except RuntimeError as error:
        if TERMINATED in str(error):
            raise KeyboardInterrupt(GO_ON) from error
        if OF_WORKERS in str(error):
            raise _lost(error) from error
        raise


def _lost(error: Exception) -> UserError:
    return UserError(
        f"a process that draws clips has ended ({describe(error)}); {GO_ON}, and with fewer --workers "
        "where memory is short"
    )


class RunFolder:
    """``OUTPUT.run`` beside the output file: config.json, and a folder a phase.

    A phase has ``state.ckpt``, from which it goes on, ``best.safetensors`` by validation, and, when it is over, its
    result ``done.safetensors``. ``tensorboard`` holds the curves.
    """

    def __init__(self, output: Path, config: TrainConfig, resume: bool) -> None:
        self.path = output.with_suffix(".run")
        if is_first_process():
            self._prepare(config, resume)

    def _prepare(self, config: TrainConfig, resume: bool) -> None:
        description = self.path / "config.json"
        if resume and description.is_file():
            if not _continues(_described(description), config):
                what = "in more than learning rates; resume with the same config, or remove it"
                raise UserError(f"'{description}' differs from the config {what}")
        elif self.path.exists() and not resume:
            raise UserError(f"'{self.path}' holds a run; go on with --resume, or remove it")
        require_writable(description)
        write_atomic(description, json.dumps(asdict(config), indent=1).encode())

    def phase(self, number: int) -> Path:
        """Return the folder of a phase."""
        return self.path / f"phase{number + 1}"


def _described(path: Path) -> TrainConfig:
    """The configuration of a run. Raises UserError where the file is damaged or cannot be read."""
    try:
        return from_dict(TrainConfig, parse_json(path.read_text()))
    except (UserError, OSError, ValueError, OverflowError) as error:
        raise unusable(path, error, "remove it to go on with the config that you give") from error


def _continues(before: TrainConfig, now: TrainConfig) -> bool:
    """Whether a run may go on with a configuration: learning rates may change, where one was too high."""
    unrated = [
        replace(config, phases=tuple(replace(phase, learning_rate=1.0) for phase in config.phases))
        for config in (before, now)
    ]
    return unrated[0] == unrated[1]


def unusable(path: Path, error: Exception, remedy: str) -> UserError:
    """What to say of a file of a run that this run cannot go on from."""
    why = shorten(describe(error), LONGEST)
    return UserError(f"cannot go on from '{path}' ({why}); put back an undamaged copy, or {remedy}")


def load_result(path: Path, network: NetworkConfig) -> Checkpoint:
    """The network that a phase has written. Raises UserError where it is damaged, or is another one."""
    try:
        checkpoint = load_checkpoint(path)
        if checkpoint.network.config != network:
            raise UserError("it is another network")
        if not isinstance(checkpoint.about, dict) or not {"metrics", "step"} <= checkpoint.about.keys():
            raise UserError("no phase of training wrote it")
    except UserError as error:
        raise unusable(path, error, f"remove '{path.parent}' to train this phase anew") from error
    return checkpoint


class WholeFiles(TorchCheckpointIO):
    """Writes a state whole or not at all, so that a full disk or a kill leaves the one before; trusts none it reads."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Serialise in memory, then rename into place. Raises UserError."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomic(Path(path), buffer.getvalue())

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Read a state of tensors and plain data, whatever ``weights_only`` is, to the CPU by default.

        Raises UserError where it is damaged, holds anything else, or is no state of training.
        """
        try:
            _require_undamaged(path)
            state = torch.load(path, map_location or "cpu", weights_only=True)
            if not isinstance(state, dict) or not state.keys() >= PARTS:
                raise UserError("it is no state of training")
        except Exception as error:  # whatever a damaged file makes of a library
            raise unusable(Path(path), error, "remove it to train its phase anew") from error
        return state


def _require_undamaged(path: Any) -> None:
    """Compare the checksums in an archive of PyTorch, which does not look at them. Raises what zipfile does."""
    with zipfile.ZipFile(path) as archive:
        if (name := archive.testzip()) is not None:
            raise UserError(f"the checksum of its '{name}' does not fit")

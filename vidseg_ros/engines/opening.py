"""From a name to the engine that runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from vidseg_ros.checkpoints.checkpoint import Checkpoint, load_checkpoint
from vidseg_ros.engines.base import Engine
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.guard import difference
from vidseg_ros.engines.registry import EXACT, RUNTIMES, engine_of_file
from vidseg_ros.engines.torch import TorchEngine, find_device
from vidseg_ros.errors import UserError

Say = Callable[[str], None]


def open_model(model: str, config: EngineConfig, say: Say = lambda line: None) -> Engine:
    """What runs ``model``: a checkpoint (see ``load_checkpoint``), or a file of ``vidseg export``.

    Raises UserError for a file that is missing or of another kind, and as ``open_engine`` does.
    """
    name = engine_of_file(model)
    if name is None:
        return open_engine(load_checkpoint(model), config, say)
    if config.engine not in ("auto", name):
        raise UserError(f"engine '{config.engine}' does not run '{model}'; use {name} or auto")
    if not Path(model).is_file():
        raise UserError(f"model '{model}' does not exist; write it with: vidseg export")
    config = replace(config, device=RUNTIMES[name].devices[0] if config.device == "auto" else config.device)
    _require(name, config)
    return _guarded(getattr(module_of(name), RUNTIMES[name].runner), Path(model), config, say)


def open_engine(checkpoint: Checkpoint, config: EngineConfig, say: Say = lambda line: None) -> Engine:
    """The engine that ``config`` names; ``say`` hears in one line why ``auto`` takes a slower one.

    Raises UserError for an engine that is not installed, or not for the device.
    """
    device = find_device(config.device)
    config = replace(config, device=str(device))
    if config.engine != "auto":
        return _open(config.engine, checkpoint, config, say)
    for name in (name for name, runtime in RUNTIMES.items() if device.type in runtime.automatic):
        try:
            return _open(name, checkpoint, config, say)
        except UserError as error:
            say(f"{error}; trying the next engine")
    raise UserError(f"no engine runs on device '{device}' with precision {config.precision}; try precision f32")


def require_installed(name: str) -> None:
    """Raise UserError where what an engine needs is missing."""
    runtime = RUNTIMES[name]
    missing = [need for need in runtime.needs if find_spec(need) is None]
    if missing:
        remedy = f"pip install 'vidseg_ros[{runtime.extra}]'"
        raise UserError(f"engine '{name}' needs {missing[0]}; install it with: {remedy}")


def module_of(name: str) -> ModuleType:
    """The module of an engine, imported now."""
    return import_module(f"vidseg_ros.engines.{RUNTIMES[name].module}")


def _require(name: str, config: EngineConfig) -> None:
    """Raise UserError where an engine cannot do what ``config`` asks for, or is not installed."""
    runtime = RUNTIMES[name]
    for what, wanted, offered in (
        ("device", config.device.split(":")[0], runtime.devices),
        ("precision", config.precision, runtime.precisions),
    ):
        if wanted not in offered:
            raise UserError(f"engine '{name}' does not run with {what} '{wanted}'; use one of {', '.join(offered)}")
    require_installed(name)


def _open(name: str, checkpoint: Checkpoint, config: EngineConfig, say: Say) -> Engine:
    _require(name, config)
    return _guarded(getattr(module_of(name), RUNTIMES[name].engine), checkpoint, config, say)


def _guarded(make: Callable[..., Engine], what: Checkpoint | Path, config: EngineConfig, say: Say) -> Engine:
    """The engine; in float32 where this machine is wrong in the lower precision that was asked for."""
    engine, exact = make(what, config), replace(config, precision=EXACT)
    if config.precision == EXACT:
        return engine
    reference = TorchEngine(what, exact) if isinstance(what, Checkpoint) else make(what, exact)
    problem = difference(engine, reference)
    reference.close()
    if not problem:
        return engine
    engine.close()
    say(f"precision {config.precision} is wrong on this machine ({problem}); running in {EXACT}")
    return make(what, exact)

"""Where converted networks wait for the next start."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TypeVar

from vidseg_ros import __version__
from vidseg_ros.engines.step import ExportStep
from vidseg_ros.errors import UserError
from vidseg_ros.files import write_atomic

Model = TypeVar("Model")
LOG = logging.getLogger(__name__)
STEPPING = ("networks", "flow", "engines")  # what a step is made of
SEAL = 32  # bytes of the checksum (SHA-256) before the content


def cache_folder() -> Path:
    """Folder for what can be made again: ``$XDG_CACHE_HOME/vidseg_ros``, or ``~/.cache/vidseg_ros``."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - raises nothing without HOME
    return Path(base) / "vidseg_ros"


@cache
def code_digest(package: Path = Path(__file__).parents[1]) -> str:
    """A checksum of all code that says what a step computes: a version does not change with each line."""
    digest = hashlib.sha256()
    for file in sorted(file for room in STEPPING for file in (package / room).rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def cache_key(step: ExportStep, runtime: str) -> str:
    """A name that differs for every network, weight, size, code and version of the runtime."""
    inner = step.step
    network, inference = asdict(inner.network.config), asdict(inner.inference)
    about = (__version__, code_digest(), runtime, network, inner.confidence, inference, step.size)
    digest = hashlib.sha256(json.dumps(about).encode())
    for name, tensor in step.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def converted(
    step: ExportStep,
    runtime: str,
    convert: Callable[[ExportStep], Model],
    pack: Callable[[Model], bytes],
    unpack: Callable[[bytes], Model],
) -> Model:
    """The step as ``convert`` makes it, or as an earlier start has kept it: converting takes seconds."""
    path = cache_folder() / f"{cache_key(step, runtime)}.model"
    if (data := load_sealed(path)) is not None:
        with suppress(RuntimeError, struct.error):  # of a kind that this version does not read
            return unpack(data)
    model = convert(step)
    with suppress(UserError):  # no room is no reason to stop
        save_sealed(path, pack(model))
    return model


def load_sealed(path: Path) -> bytes | None:
    """What ``save_sealed`` wrote; None where that is not there, cannot be read, or is damaged, which is logged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(data[SEAL:]).digest() == data[:SEAL]:
        return data[SEAL:]
    LOG.warning("cached network '%s' is damaged: its checksum does not fit; it is made again", path)
    return None


def save_sealed(path: Path, data: bytes) -> None:
    """Write ``data`` behind its checksum, whole or not at all; where the folder is read-only, not at all."""
    with suppress(UserError):
        write_atomic(path, hashlib.sha256(data).digest() + data)

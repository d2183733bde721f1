"""Where converted networks wait for the next start."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

from vidseg_ros import __version__
from vidseg_ros.engines.step import ExportStep


def cache_folder() -> Path:
    """Folder for what can be made again: ``$XDG_CACHE_HOME/vidseg_ros``, or ``~/.cache/vidseg_ros``."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - raises nothing without HOME
    return Path(base) / "vidseg_ros"


def cache_key(step: ExportStep, runtime: str) -> str:
    """A name that differs for every network, weight, size and version of the runtime."""
    inner = step.step
    about = (__version__, runtime, asdict(inner.network.config), inner.confidence, asdict(inner.inference), step.size)
    digest = hashlib.sha256(json.dumps(about).encode())
    for name, tensor in step.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]

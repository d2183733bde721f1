"""One input of a replay: everything about it is done here, by whatever process, and is the same wherever."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from vidseg_ros import __version__
from vidseg_ros.bidirectional import BidirectionalStream
from vidseg_ros.checkpoints.checkpoint import find_checkpoint
from vidseg_ros.engines import Engine, open_model
from vidseg_ros.engines.registry import engine_of_file
from vidseg_ros.errors import UserError
from vidseg_ros.files import write_atomic
from vidseg_ros.io.recordings import Recording, open_recordings
from vidseg_ros.replay.config import ReplayConfig
from vidseg_ros.replay.run import WORK, Run
from vidseg_ros.replay.sealed import RESULT, read_result
from vidseg_ros.stream import FrameStream

MARK = "fingerprint"


def open_engines(config: ReplayConfig, say: Callable[[str], None] = lambda line: None) -> list[Engine]:
    """Engines of the checkpoints. Raises UserError, also where their labels differ.

    ``config.engine`` names what runs checkpoints; a file of ``vidseg export`` has its own runtime. They can also do
    what streams want of them.
    """
    own = replace(config.engine, engine="auto")
    engines = [open_model(name, own if engine_of_file(name) else config.engine, say) for name in config.checkpoints]
    if len({engine.labels for engine in engines}) > 1:
        sets = " and ".join(engine.labels.name for engine in engines)
        raise UserError(f"the checkpoints have different label sets ({sets}); compare checkpoints of one")
    for engine in engines:
        (BidirectionalStream if config.bidirectional else FrameStream)(engine, config.stream)
    return engines


def run_input(path: Path, folder: Path, config: ReplayConfig, progress: Callable[[], None] = lambda: None) -> None:
    """Replay the cameras of ``path`` into ``folder``, each into a folder of its own where there are several.

    What an earlier run finished is kept. Raises UserError; then, and where it is interrupted, results of what was
    done so far are there.
    """
    work: dict[Path, tuple[Recording, str]] = {}
    try:
        for recording in open_recordings(path, config.topics, config.fps):
            work[folder / recording.camera] = recording, _fingerprint(recording, config)
    finally:
        _forget(folder, {into: fingerprint for into, (_, fingerprint) in work.items()})
    engines = open_engines(config)
    for into, (recording, fingerprint) in work.items():
        if not is_done(into, fingerprint):
            write_atomic(into / WORK / MARK, fingerprint.encode())
            Run(recording, into, config, engines).run(progress)


def is_done(folder: Path, fingerprint: str) -> bool:
    """Tell whether ``folder`` holds the whole and undamaged result of the work that ``fingerprint`` describes."""
    result = read_result(folder) if _belongs(folder, fingerprint) else None
    return result is not None and bool(result["complete"])


def _belongs(folder: Path, fingerprint: str) -> bool:
    mark = folder / WORK / MARK
    return mark.is_file() and mark.read_bytes() == fingerprint.encode()


def _forget(folder: Path, fingerprints: Mapping[Path, str]) -> None:
    """Throw away what other work left below ``folder``: it must not be continued, nor reported."""
    for work in [*folder.glob(WORK), *folder.glob(f"*/{WORK}")]:
        if not _belongs(work.parent, fingerprints.get(work.parent, "")):
            shutil.rmtree(work)
            (work.parent / RESULT).unlink(missing_ok=True)


def _fingerprint(recording: Recording, config: ReplayConfig) -> str:
    """Identity of the work, by which it may be continued: program, options, input, label and flow files, weights."""
    truth = [Path(config.labels)] if config.labels and Path(config.labels).is_dir() else []
    flow = [Path(config.engine.flow)] if Path(config.engine.flow).is_file() else []
    inputs = [
        (str(file), file.stat().st_size, file.stat().st_mtime_ns)
        for path in (recording.path, *truth, *flow)
        for file in (sorted(path.iterdir()) if path.is_dir() else [path])
        if file.is_file()
    ]
    weights = [_checksum(name) for name in config.checkpoints]
    return json.dumps([__version__, asdict(config), recording.camera, inputs, weights], default=str)


def _checksum(checkpoint: str) -> str:
    """Identity of the weights: an OpenVINO .xml has them in the .bin beside it."""
    file = find_checkpoint(checkpoint)
    files = [file, *([file.with_suffix(".bin")] if file.suffix == ".xml" else [])]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()

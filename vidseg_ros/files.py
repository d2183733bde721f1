"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vidseg_ros.errors import UserError


def distinct(names: Sequence[str]) -> list[str]:
    """Names of files that do not collide: a number behind those that another one has before.

    >>> distinct(["drive", "drive"])
    ['drive', 'drive_2']
    """
    taken: dict[str, None] = {}
    for name in names:
        numbered = (f"{name}_{number}" for number in range(2, len(names) + 2))
        taken[next(free for free in (name, *numbered) if free not in taken)] = None
    return list(taken)


def require_apart(output: Path, inputs: Iterable[Path], remedy: str = "name another --output") -> None:
    """Raise UserError where the folder ``output`` is an input, contains one or lies in one.

    What is written there would be among the frames of the next run, or over them.
    """
    for path in inputs:
        inner, outer = sorted((path.resolve(), output.resolve()), key=lambda one: len(one.parts), reverse=True)
        if outer == inner or outer in inner.parents:
            raise UserError(f"output '{output}' is, contains or lies in the input '{path}'; {remedy}")


def require_other(output: Path, inputs: Iterable[Path]) -> None:
    """Raise UserError where the file ``output`` is an input, which it would overwrite."""
    for path in inputs:
        if output.resolve() == path.resolve() or (output.exists() and path.exists() and output.samefile(path)):
            raise UserError(f"'{output}' is an input and would be overwritten; name another file to write")


def require_new(output: Path) -> None:
    """Raise UserError where the file ``output`` is there, for it may be an input that was meant."""
    if output.exists():
        raise UserError(f"'{output}' is there and would be overwritten; name a new file last, or remove it")


def write_atomic(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` through a temporary file beside it. Raises UserError where that cannot be done."""
    with writing(path), _temporary_beside(path) as temporary:
        temporary.write(data)
        temporary.flush()
        os.fsync(temporary.fileno())
        Path(temporary.name).chmod(0o644)
        Path(temporary.name).rename(path)


def require_writable(path: Path) -> None:
    """Raise UserError where ``write_atomic`` could not write ``path``; for asking before long work."""
    with writing(path), _temporary_beside(path):
        pass


@contextmanager
def _temporary_beside(path: Path) -> Iterator[IO[bytes]]:
    """Yield a temporary file in the folder of ``path``, gone afterwards unless it was renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as temporary:
        try:
            yield temporary
        finally:
            Path(temporary.name).unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name ``path`` in what goes wrong while it is written: a full disk does not. Raises UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write '{path}': {error.strerror}; name a writable place with free space") from error

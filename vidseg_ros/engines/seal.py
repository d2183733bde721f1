"""Exported files carry a checksum: weights damaged at equal length would give wrong labels and say nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

from vidseg_ros.errors import UserError

SEAL = "sha256"  # its name among what a file says of itself
BLANK = "0" * 64
"""What stands in the place of the checksum while it is made."""


def sealed(data: bytes, *more: bytes) -> bytes:
    """``data``, in which BLANK stands, with the checksum of it and of the files that belong to it."""
    digest = hashlib.sha256(b"".join([data, *more])).hexdigest()
    return data.replace(BLANK.encode(), digest.encode(), 1)


def require_whole(path: Path, seal: str | None, data: bytes, *more: bytes) -> None:
    """Raise UserError unless ``data`` is what ``sealed`` gave; a file of an older version has no seal."""
    if seal and sealed(data.replace(seal.encode(), BLANK.encode(), 1), *more) != data:
        raise UserError(
            f"'{path}' is damaged: its checksum does not fit; copy it again, or, where you changed it yourself, take "
            f"'{SEAL}' out of what it says of itself"
        )

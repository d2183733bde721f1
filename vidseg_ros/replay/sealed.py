"""What was found on one recording, in files that a later run can trust: each is sealed by a checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidseg_ros.files import write_atomic
from vidseg_ros.schema import parse_json

RESULT, LATENCY = "result.json", "latency.json"
SEAL = "sha256"  # key of the checksum


def write_sealed(file: Path, values: Mapping[str, Any]) -> None:
    """Write values as JSON; the pictures that a result names must be there. Raises UserError."""
    write_atomic(file, json.dumps({**values, SEAL: _seal(file.parent, values)}).encode())


def read_sealed(file: Path) -> dict[str, Any] | None:
    """What ``write_sealed`` wrote; None where that is not there, or it or a picture that it names is damaged."""
    try:
        values: dict[str, Any] = parse_json(file.read_bytes())
        return values if values.pop(SEAL) == _seal(file.parent, values) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def read_result(folder: Path) -> dict[str, Any] | None:
    """What was found on the recording of ``folder``; None where that is not whole, its times included."""
    return None if read_sealed(folder / LATENCY) is None else read_sealed(folder / RESULT)


def _seal(folder: Path, values: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(values).encode())
    for course in values.get("courses", {}).values():
        for worst in course["worst"]:
            digest.update((folder / worst["file"]).read_bytes())
    return digest.hexdigest()

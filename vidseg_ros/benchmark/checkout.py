"""Run the engines of a checkout of this project, this one or an older one, for a ``Runner``.

A program of its own, which knows that checkout by name only: ``python checkout.py DESCRIPTOR ROOT CASE``, the file
descriptor of a pipe, the checkout's top folder and, in JSON, a case with its defaults as plain data.
"""

from __future__ import annotations

import json
import sys
import typing
from collections.abc import Mapping
from dataclasses import fields
from multiprocessing.connection import Connection
from typing import Any


def build(cls: type[Any], plain: Mapping[str, Any], defaults: Mapping[str, Any], where: str = "") -> Any:
    """Build a dataclass of as many of the ``plain`` values as it has fields for.

    Raises ValueError, naming the field, where it has none for a value that is not the default.
    """
    hints = typing.get_type_hints(cls)
    known = [field.name for field in fields(cls)]
    values = {}
    for name, value in plain.items():
        if name in known and isinstance(value, dict):
            values[name] = build(hints[name], value, defaults[name], f"{name}.")
        elif name in known:
            values[name] = tuple(value) if isinstance(value, list) else value
        elif value != defaults[name]:
            raise ValueError(f"knows no '{where}{name}' (here {value!r})")
    return cls(**values)


def main(descriptor: str, root: str, text: str) -> None:
    """Run until the pipe says so; what cannot be done is sent back, as that checkout's UserError."""
    sys.path[0] = root  # instead of the folder of this file
    from vidseg_ros import benchmark  # noqa: PLC0415
    from vidseg_ros.errors import UserError  # noqa: PLC0415

    pipe = Connection(int(descriptor))
    serve = getattr(benchmark, "serve", None) or getattr(benchmark, "_serve")  # noqa: B009 - its older name
    try:
        case = build(benchmark.Case, *json.loads(text))
    except ValueError as error:
        pipe.send(UserError(f"checkout '{root}' {error}; leave it out, or name a newer checkout"))
    except UserError as error:
        pipe.send(error)
    else:
        serve(pipe, case)


if __name__ == "__main__":
    main(*sys.argv[1:])

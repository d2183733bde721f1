"""What several verbs share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from vidseg_ros.checkpoint import require_writable, write_whole

CONSOLE = Console(highlight=False)


def require_writable_json(path: Path | None) -> None:
    """Say before the work that its figures could not be written."""
    if path is not None:
        require_writable(path)


def write_json(path: Path | None, figures: Mapping[str, Any]) -> None:
    """Write the figures of a verb to the file the user named, if any."""
    if path is not None:
        write_whole(path, (json.dumps(figures, indent=2) + "\n").encode())


def print_table(title: str, rows: Mapping[str, object]) -> None:
    """Print names and values."""
    table = Table(title=title, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in rows.items():
        table.add_row(name, str(value))
    CONSOLE.print(table)

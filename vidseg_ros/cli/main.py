"""Entry point of ``vidseg``: find the verb, run it, turn bad input into one line and exit code 2.

SIGTERM is an interrupt, too: one line, and the exit code that shells have for the signal.
"""

from __future__ import annotations

import argparse
import signal
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import NoReturn

from vidseg_ros import __version__
from vidseg_ros.errors import UserError
from vidseg_ros.start import INTERRUPTED, TERMINATED, VERB_SIGNALS, Termination, handling, quitting

VERBS = {
    "average": "make one network of several trainings",
    "benchmark": "time engines side by side",
    "demo": "play video through the real node and show what it answers",
    "evaluate": "measure a checkpoint on labelled sequences",
    "export": "write a checkpoint for another runtime",
    "import-weights": "convert an official ESPNet or F2F file",
    "pseudo-label": "label video with a teacher, for training",
    "replay": "judge checkpoints on bags, videos and folders, and report",
    "record-carla": "record the scenes of the paper from CARLA",
    "simulate": "drive through the built-in street",
    "spawn-carla": "put an ego vehicle into CARLA for its native ROS 2 interface",
    "train": "train a network",
}


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the options."""

    def error(self, message: str) -> NoReturn:
        """Print the line, and end with exit code 2."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())}; see {self.prog} --help\n")


def main(argv: list[str] | None = None) -> int:
    """Run a verb; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    termination = Termination()
    with handling([signal.SIGTERM], termination):
        try:
            return _run(arguments)
        except KeyboardInterrupt as error:
            remedy = f"; {error}" if error.args else ""
            print(*["vidseg", *arguments[:1]], f"was interrupted{remedy}", file=sys.stderr)  # noqa: T201
            return TERMINATED if termination.came else INTERRUPTED


def _run(arguments: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be text
    overview = Parser("vidseg", description="Temporally consistent semantic segmentation.")
    overview.add_argument("--version", action="version", version=__version__)
    verbs = overview.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, text in VERBS.items():
        parser = verbs.add_parser(name, help=text, add_help=arguments[:1] == [name])
        if arguments[:1] == [name]:
            with quitting(f"vidseg {name}", VERB_SIGNALS):
                module = import_module(f"vidseg_ros.cli.{name.replace('-', '_')}")
                common = import_module("vidseg_ros.cli.common")
            parser.description = f"{text[0].upper()}{text[1:]}."
            parser.epilog = f"example: {module.EXAMPLE}"
            module.add_arguments(parser)
            parser.set_defaults(run=(common.require_other_outputs, module.main))
    try:
        options = overview.parse_args(arguments)  # values may be bad input, too
        for step in options.run:
            step(options)
    except (UserError, OSError) as error:  # also a file without permission, a full disk
        print(f"vidseg {arguments[0]}: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0

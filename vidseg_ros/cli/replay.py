"""``vidseg replay``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from rich.progress import Progress

from vidseg_ros.cli.common import (
    CONSOLE,
    MODEL_HELP,
    add_engine_arguments,
    engine_config,
    print_table,
    require_writable_json,
    write_json,
)
from vidseg_ros.errors import UserError
from vidseg_ros.evaluation.counts import FIGURES
from vidseg_ros.files import require_apart, require_writable
from vidseg_ros.io.recordings import open_recordings
from vidseg_ros.labels import LABEL_SETS, LabelSet
from vidseg_ros.replay.config import ReplayConfig
from vidseg_ros.replay.job import open_engines
from vidseg_ros.replay.many import Job, plan, run_here, run_over_machines, run_over_processes
from vidseg_ros.replay.report import METRICS, REPORT, write_report
from vidseg_ros.replay.summary import read_results, summarize
from vidseg_ros.schema import WORKERS, image_size, positive, whole
from vidseg_ros.stream import StreamConfig

EXAMPLE = "vidseg replay drive_bag --checkpoint fddwnet_camvid --compare espnet_camvid_fast --output replayed"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    default = ReplayConfig("")
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="a bag, a video or a folder of images")
    parser.add_argument("--checkpoint", required=True, help=MODEL_HELP)
    parser.add_argument("--compare", default=default.compare, help="a second one, judged on the same frames")
    parser.add_argument("--output", type=Path, required=True, help="folder of the results; a killed run goes on there")
    parser.add_argument(
        "--topic", action="append", default=[], help="image topic of a bag that has several; may be given again"
    )
    parser.add_argument("--labels", default=default.labels, help="ground truth: a label topic of the bag, or a folder")
    parser.add_argument(
        "--palette",
        default=default.palette,
        help=f"label set of the ground truth, ids or colours: {', '.join(LABEL_SETS)} (default: the checkpoint's)",
    )
    parser.add_argument(
        "--fps", type=positive("--fps"), default=default.fps, help=f"of a folder of images (default: {default.fps:.0f})"
    )
    parser.add_argument(
        "--frames", type=whole("--frames"), help="replay at most this many of each camera (default: all)"
    )
    parser.add_argument(
        "--max-gap",
        type=positive("--max-gap"),
        default=StreamConfig.max_gap,
        help="seconds between frames beyond which the state is reset (default: %(default)s)",
    )
    parser.add_argument("--size", type=image_size, help="WIDTHxHEIGHT of the network input (default: as trained)")
    parser.add_argument(
        "--workers",
        type=whole("--workers", most=WORKERS),
        default=1,
        help="inputs at a time, a process each (default: 1)",
    )
    parser.add_argument("--ray", default="", metavar="ADDRESS", help="spread the inputs over this Ray cluster")
    add_engine_arguments(parser)
    parser.set_defaults(engine=default.engine.engine)
    parser.add_argument(
        "--bidirectional",
        action="store_true",
        help="the mean of the way forward and the way back (torch); no hysteresis, and a killed run begins anew",
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")


def main(options: Namespace) -> None:
    """Run the verb."""
    config = _config(options)
    labels = [Path(options.labels)] if options.labels and Path(options.labels).is_dir() else []
    require_apart(options.output, [*options.inputs, *labels])
    require_writable(options.output / METRICS)
    require_writable_json(options.json)
    engines = open_engines(config, CONSOLE.print)  # say now what is wrong with them
    jobs, problems = plan(options.inputs, options.output, config), list[str]()
    try:
        for job, problem in _run(jobs, options):
            if problem:
                problems.append(f"{job.path}: {problem}" if len(jobs) > 1 else problem)
    except KeyboardInterrupt:
        problems.append("interrupted; the same command goes on from here")
        raise
    finally:
        _conclude(config, engines[0].labels, jobs, problems, options)
    if problems:
        raise UserError("; ".join(problems))


def _config(options: Namespace) -> ReplayConfig:
    return ReplayConfig(
        options.checkpoint,
        options.compare,
        tuple(options.topic),
        options.labels,
        options.palette,
        options.fps,
        options.frames,
        engine_config(options),
        StreamConfig(options.max_gap, options.size),
        options.bidirectional,
    )


def _run(jobs: Sequence[Job], options: Namespace) -> Iterator[tuple[Job, str]]:
    """Do all jobs in the way that the user wants, and show how far they are."""
    with Progress(console=CONSOLE, transient=True) as bar:
        if options.ray or options.workers > 1:
            task = bar.add_task("inputs", total=len(jobs))
            run = run_over_machines(jobs, options.ray) if options.ray else run_over_processes(jobs, options.workers)
            for done in run:
                bar.advance(task)
                yield done
        else:
            task = bar.add_task("frames", total=_frames(jobs))
            yield from run_here(jobs, lambda: bar.advance(task))


def _frames(jobs: Sequence[Job]) -> int:
    """Count the frames of all inputs; those of a broken one do not count."""
    count = 0
    for job in jobs:
        with suppress(UserError):
            counts = (recording.count for recording in open_recordings(job.path, job.config.topics, job.config.fps))
            count += sum(min(number, job.config.frames or number) for number in counts)
    return count


def _conclude(
    config: ReplayConfig, labels: LabelSet, jobs: Sequence[Job], problems: Sequence[str], options: Namespace
) -> None:
    """Write figures and report of whatever was done."""
    found = [recorded for job in jobs for recorded in read_results(job.folder, labels)]
    if not found:
        return
    summary = summarize(config.checkpoints, asdict(config), labels, found, problems)
    metrics = write_report("replay", summary, options.output)
    write_json(options.json, metrics)
    rows = {name: metrics[name] for name in FIGURES} | {"frames": metrics["frames"]}
    print_table(config.checkpoint, rows)
    if config.compare:
        print_table(config.compare, {name: metrics["compare"][name] for name in FIGURES})
        CONSOLE.print(summary.verdict)
    for note in summary.notes:
        CONSOLE.print(note, soft_wrap=True)
    CONSOLE.print(f"results: {options.output / REPORT}", soft_wrap=True)

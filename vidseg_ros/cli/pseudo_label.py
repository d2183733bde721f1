"""``vidseg pseudo-label``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from vidseg_ros.checkpoints.checkpoint import MEMORIES
from vidseg_ros.cli.common import CONSOLE, print_table, require_writable_json, write_json
from vidseg_ros.data.cityscapes import PSEUDO, cityscapes_frames, is_cityscapes
from vidseg_ros.errors import UserError
from vidseg_ros.files import distinct, require_apart
from vidseg_ros.io.frame import DEFAULT_FPS, Frame
from vidseg_ros.io.image_messages import BadFrame
from vidseg_ros.io.recordings import input_name, open_recordings, skipped_note, usable
from vidseg_ros.labels import CITYSCAPES, IGNORE
from vidseg_ros.pseudo_labels.labeling import label
from vidseg_ros.pseudo_labels.video_teacher import VideoTeacher, wants_video_teacher
from vidseg_ros.pseudo_labels.writing import CityscapesLabels, SceneWriter, cityscapes_video
from vidseg_ros.schema import not_negative, positive
from vidseg_ros.teachers import Labeler, PseudoConfig, open_teacher

LARGEST_SCALE = 8  # of the input of a teacher
EXAMPLE = "vidseg pseudo-label drive_bag --teacher fddwnet_camvid --output recordings/train"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "inputs", nargs="+", type=Path, metavar="INPUT", help="a bag, a video, a folder of images, a Cityscapes split"
    )
    parser.add_argument(
        "--teacher", required=True, help="a checkpoint, or a model of Hugging Face: hf:NAME or its folder"
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="data set to write; for a Cityscapes split, its root: labels only"
    )
    parser.add_argument("--labels", default=CITYSCAPES.name, help="label set of such a model (default: %(default)s)")
    parser.add_argument("--topic", action="append", default=[], help="image topic of a bag that has several")
    parser.add_argument(
        "--fps", type=positive("--fps"), default=DEFAULT_FPS, help="of a folder of images (default: %(default).0f)"
    )
    _add_choice(parser, PseudoConfig())
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def _add_choice(parser: ArgumentParser, default: PseudoConfig) -> None:
    """Declare which labels are kept."""
    parser.add_argument(
        "--confidence",
        type=not_negative("confidence"),
        default=default.confidence,
        help="least probability (default: %(default)s)",
    )
    parser.add_argument(
        "--scales",
        type=_numbers,
        default=default.scales,
        help=f"of the input of a checkpoint (default: {','.join(map(str, default.scales))})",
    )
    parser.add_argument("--no-flip", dest="flip", action="store_false", help="do not look at mirrored frames, too")
    parser.add_argument(
        "--no-agreement", dest="agreement", action="store_false", help="keep labels that change along the flow"
    )
    parser.add_argument(
        "--memory",
        default=default.memory,
        help=f"what a checkpoint remembers, {', '.join(MEMORIES)} (default: as it says)",
    )
    parser.add_argument(
        "--bidirectional", action="store_true", help="take the mean of the way forward and the way back"
    )


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(map(positive("scales", most=LARGEST_SCALE), text.split(",")))


def main(options: Namespace) -> None:
    """Run the verb."""
    config = PseudoConfig(
        options.confidence,
        options.scales,
        options.flip,
        options.agreement,
        options.memory,
        options.bidirectional,
    )
    require_writable_json(options.json)
    if wants_video_teacher(options.teacher, config):
        teacher: Labeler = VideoTeacher(options.teacher, config)
    else:
        teacher = open_teacher(options.teacher, options.labels, config, CONSOLE.print)
    for path in options.inputs:
        require_apart(options.output / PSEUDO if is_cityscapes(path) else options.output, [path])
    counts = np.zeros(IGNORE + 1, np.int64)
    frames, rejected = 0, list[BadFrame]()
    with Progress(console=CONSOLE, transient=True) as bar:
        for video, save, count in _work(options, teacher, rejected):
            task = bar.add_task("label", total=count)
            for labelled in label(video, teacher, config):
                save(labelled)
                counts += np.bincount(labelled.labels.ravel(), minlength=len(counts))
                frames += 1
                bar.advance(task)
    figures = _figures(frames, counts, teacher, rejected)
    print_table(f"labels of {options.teacher}", figures["per_class"] | {"labelled": figures["labelled"]})
    said = [f"{frames} frames in {options.output}", skipped_note(rejected)]
    CONSOLE.print(", ".join(filter(None, said)), soft_wrap=True)
    write_json(options.json, figures)


def _work(options: Namespace, teacher: Labeler, rejected: list[BadFrame]) -> Iterator[tuple[Iterable[Frame], Any, int]]:
    """Yield the frames of each video, what saves their labels, and how many there are; those of no image go aside."""
    names = distinct([input_name(path) for path in options.inputs])
    for path, video in zip(options.inputs, names, strict=True):
        if is_cityscapes(path):
            split = CityscapesLabels(options.output, path.resolve().name, teacher.labels)
            yield cityscapes_video(path), split.save, len(cityscapes_frames(path))
            continue
        for recording in open_recordings(path, options.topic, options.fps):
            name = "_".join(part for part in (video, recording.camera) if part)
            scenes = SceneWriter(options.output, name, recording.fps, teacher.labels)
            yield usable(recording.frames(), rejected), scenes.save, recording.count


def _figures(frames: int, counts: Any, teacher: Labeler, rejected: Sequence[BadFrame]) -> dict[str, Any]:
    """Return the shares of all pixels, in percent, that have labels, and each label."""
    if not frames:
        why = f" ({rejected[-1]})" if rejected else ""
        raise UserError(f"the inputs hold no usable frame{why}; record them again")
    shares = (100 * counts / counts.sum()).round(2).tolist()
    per_class = dict(zip(teacher.labels.names, shares, strict=False))
    labelled = {"frames": frames, "rejected": len(rejected)}
    return labelled | {"labelled": round(100 - shares[IGNORE], 2), "per_class": per_class}

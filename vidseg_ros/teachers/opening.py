"""Teachers by their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vidseg_ros.labels import find_label_set
from vidseg_ros.teachers.base import Teacher
from vidseg_ros.teachers.checkpoint import CheckpointTeacher
from vidseg_ros.teachers.config import PseudoConfig, TeacherConfig
from vidseg_ros.teachers.hugging_face import HuggingFaceTeacher

HUGGING_FACE = "hf:"  # before the name of a model


def open_teacher(
    name: str,
    label_set: str,
    config: PseudoConfig | TeacherConfig,
    say: Callable[[str], None] = lambda line: None,
    device: str = "cpu",
) -> Teacher:
    """Return the teacher ``name``: a checkpoint of ours, or a model of Hugging Face for ``label_set``.

    That is ``hf:`` and its name, or the folder it was saved to. ``say`` hears in one line which classes it does not
    know. Raises UserError for a teacher that cannot be loaded or knows none of them.
    """
    if name.startswith(HUGGING_FACE) or Path(name).is_dir():
        return HuggingFaceTeacher(name.removeprefix(HUGGING_FACE), find_label_set(label_set), config, say, device)
    return CheckpointTeacher(name, config, device)

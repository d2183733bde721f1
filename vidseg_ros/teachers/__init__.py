"""Teachers: anything that gives a frame class probabilities, for pseudo labels and for training."""

from vidseg_ros.teachers.base import IMPOSSIBLE, Labeler, Prediction, Teacher, log_probabilities
from vidseg_ros.teachers.checkpoint import CheckpointTeacher
from vidseg_ros.teachers.config import PseudoConfig, TeacherConfig
from vidseg_ros.teachers.hugging_face import HuggingFaceTeacher
from vidseg_ros.teachers.opening import HUGGING_FACE, open_teacher

__all__ = [
    "HUGGING_FACE",
    "IMPOSSIBLE",
    "CheckpointTeacher",
    "HuggingFaceTeacher",
    "Labeler",
    "Prediction",
    "PseudoConfig",
    "Teacher",
    "TeacherConfig",
    "log_probabilities",
    "open_teacher",
]

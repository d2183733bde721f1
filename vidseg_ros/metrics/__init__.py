"""Metrics: a pure function and a torchmetrics accumulator each."""

from vidseg_ros.metrics.confusion import SegmentationScore, confusion_matrix
from vidseg_ros.metrics.consistency import Consistency, consistency
from vidseg_ros.metrics.video_consistency import VideoConsistency, video_consistency

__all__ = [
    "Consistency",
    "SegmentationScore",
    "VideoConsistency",
    "confusion_matrix",
    "consistency",
    "video_consistency",
]

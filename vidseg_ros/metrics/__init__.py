"""Metrics: a pure function and a torchmetrics accumulator each."""

from vidseg_ros.metrics.confusion import SegmentationScore, confusion_matrix
from vidseg_ros.metrics.consistency import Consistency, consistency

__all__ = ["Consistency", "SegmentationScore", "confusion_matrix", "consistency"]

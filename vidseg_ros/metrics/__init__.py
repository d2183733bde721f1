"""Metrics: a pure function and a torchmetrics accumulator each."""

from vidseg_ros.flow.motion import Motion, estimate_flow, visible
from vidseg_ros.metrics.confusion import SegmentationScore, confusion_matrix
from vidseg_ros.metrics.consistency import Consistency, consistency
from vidseg_ros.metrics.flicker import Flicker, flicker
from vidseg_ros.metrics.temporal_consistency import TemporalConsistency, published_agreement, visible_agreement
from vidseg_ros.metrics.trajectory import Tracks, TrajectoryConsistency
from vidseg_ros.metrics.video_consistency import VideoConsistency, video_consistency

__all__ = [
    "Consistency",
    "Flicker",
    "Motion",
    "SegmentationScore",
    "TemporalConsistency",
    "Tracks",
    "TrajectoryConsistency",
    "VideoConsistency",
    "confusion_matrix",
    "consistency",
    "estimate_flow",
    "flicker",
    "published_agreement",
    "video_consistency",
    "visible",
    "visible_agreement",
]

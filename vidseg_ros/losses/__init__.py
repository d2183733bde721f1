"""Losses: pure functions of class probabilities or logits and labels."""

from vidseg_ros.losses.cross_entropy import class_weights, cross_entropy
from vidseg_ros.losses.inconsistency import inconsistency
from vidseg_ros.losses.objective import clip_loss

__all__ = ["class_weights", "clip_loss", "cross_entropy", "inconsistency"]

"""Losses: pure functions of class probabilities or logits and labels, and the objective that sums them."""

from vidseg_ros.losses.cross_entropy import class_weights, cross_entropy
from vidseg_ros.losses.inconsistency import CODE, Rule, inconsistency
from vidseg_ros.losses.objective import Batch, Objective, Output
from vidseg_ros.losses.temporal import temporal

__all__ = [
    "CODE",
    "Batch",
    "Objective",
    "Output",
    "Rule",
    "class_weights",
    "cross_entropy",
    "inconsistency",
    "temporal",
]

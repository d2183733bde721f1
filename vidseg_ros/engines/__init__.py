"""Engines: one network step on some runtime, 8-bit frames in, labels out."""

from vidseg_ros.engines.base import Engine, Prediction
from vidseg_ros.engines.opening import open_engine, open_model
from vidseg_ros.engines.torch import TorchEngine

__all__ = ["Engine", "Prediction", "TorchEngine", "open_engine", "open_model"]

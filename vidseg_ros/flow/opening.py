"""From a configuration to what estimates flow."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from vidseg_ros.errors import UserError
from vidseg_ros.flow.estimator import DISFlow, FlowConfig, FlowEstimator


def open_flow(config: FlowConfig) -> FlowEstimator:
    """What estimates flow as ``config`` says. Raises UserError for a network that is missing or does not fit."""
    if not config.model:
        return DISFlow(config)
    if find_spec("onnxruntime") is None:
        raise UserError(f"flow network '{config.model}' needs onnxruntime; pip install 'vidseg_ros[onnx]'")
    made: FlowEstimator = import_module("vidseg_ros.flow.learned").LearnedFlow(config)
    return made

"""A step as an ONNX model."""

from __future__ import annotations

import logging
import warnings

import torch

from vidseg_ros.engines.step import ExportStep

OPSET = 18


def to_onnx(step: ExportStep) -> bytes:
    """The step as an ONNX model of any number of frames, with the names that ``ExportStep`` gives."""
    inputs, outputs = step.names()
    example = step.example(2)  # one frame would become a constant
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, which nothing here needs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            step,
            example,
            dynamo=True,
            verbose=False,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=step.dynamic_shapes(),
            opset_version=OPSET,
        )
    assert program is not None
    return program.model_proto.SerializeToString()  # type: ignore[no-any-return]

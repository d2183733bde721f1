"""Small networks that estimate flow, as ONNX files."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def difference_network(path, scale=1.0, shift=(0.0, 0.0), size=("height", "width"), inputs=3, outputs=2):
    """Flow of (second - first) * scale + shift, of red and green; a first output that is of no use, as RAFT has."""
    values = {"scale": np.float32(scale), "shift": np.resize(np.float32(shift), (1, outputs, 1, 1))}
    values |= {"start": np.array([0]), "end": np.array([outputs]), "axis": np.array([1])}
    nodes = [
        helper.make_node("Sub", ["second", "first"], ["change"]),
        helper.make_node("Slice", ["change", "start", "end", "axis"], ["part"]),
        helper.make_node("Mul", ["part", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "shift"], ["flow"]),
    ]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, inputs, *size]) for name in ("first", "second")]
    results = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, *size])
        for name, channels in (("change", inputs), ("flow", outputs))
    ]
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "flow", ports, results, constants), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path

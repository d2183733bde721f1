"""What only trains costs nothing at inference: no engine, file or graph knows of it, before or after the training."""

from dataclasses import replace

import pytest
import torch

from test.training.conftest import toy_config
from vidseg_ros.checkpoints.checkpoint import Checkpoint, load_checkpoint
from vidseg_ros.engines.export import export
from vidseg_ros.engines.registry import FORMATS, RUNTIMES
from vidseg_ros.engines.step import ExportStep, InferenceStep
from vidseg_ros.labels import CAMVID
from vidseg_ros.losses.config import LossConfig
from vidseg_ros.networks import build
from vidseg_ros.networks.config import InputConfig
from vidseg_ros.networks.pspnet import PSPNetConfig
from vidseg_ros.simulation.street_world import StreetWorld, StreetWorldConfig
from vidseg_ros.training.config import PhaseConfig
from vidseg_ros.training.trainer import Hardware, train

WIDTH, HEIGHT = SIZE = (96, 64)
NETWORK = PSPNetConfig(backbone="mobilenetv2", input=InputConfig(SIZE))


def graph(network):
    """Operations with the shapes of what they make, in order, as every exported file has them."""
    step = ExportStep(InferenceStep(network), HEIGHT, WIDTH)
    program = torch.export.export(step, step.example(1), strict=False)
    return [
        (str(node.target), getattr(node.meta.get("val"), "shape", None))
        for node in program.graph.nodes
        if node.op == "call_function"
    ]


def weights(network):
    return {name: tensor.shape for name, tensor in InferenceStep(network).state_dict().items()}


def without_auxiliary(network):
    network.auxiliary = None
    return network


def test_the_auxiliary_head_is_not_in_the_graph():
    network = build(NETWORK).eval()
    assert any(name.startswith("auxiliary.") for name in network.state_dict())
    names = weights(network)
    assert not [name for name in names if "auxiliary" in name]
    assert not [m for m in InferenceStep(network).modules() if isinstance(m, torch.nn.Dropout2d | torch.nn.BatchNorm2d)]
    assert len(graph(network)) > 100
    plain = without_auxiliary(build(NETWORK).eval())
    assert (graph(plain), weights(plain)) == (graph(network), names)


@pytest.mark.parametrize(
    ("kind", "needed"), [("openvino", "openvino"), ("onnx", "onnxscript"), ("torch-export", "torch")]
)
def test_files_have_no_auxiliary_head(tmp_path, kind, needed):
    """They are as large as those of a network that never had one, up to the digits of OpenVINO's numbering."""
    pytest.importorskip(needed)
    torch.manual_seed(0)
    network, world = build(NETWORK).eval(), StreetWorld(StreetWorldConfig(*SIZE))
    frames = [world.frame(number).rgb for number in range(2)]
    sizes = []
    for name, part in (("with", network), ("without", without_auxiliary(network))):
        (tmp_path / name).mkdir()
        file = tmp_path / name / f"x{RUNTIMES[FORMATS[kind]].suffix}"
        export(Checkpoint(part, CAMVID), kind, file, SIZE, frames)
        sizes.append({path.name: path.stat().st_size for path in file.parent.iterdir()})
    weight = 4 * sum(tensor.numel() for tensor in InferenceStep(network).state_dict().values())
    assert sizes[0] == pytest.approx(sizes[1], abs=100)
    assert sum(sizes[0].values()) == pytest.approx(weight, rel=0.05)


def test_training_with_every_term_leaves_the_graph_as_it_was(dataset, tmp_path):
    """Losses of ETC and the auxiliary head are in the log of the training, and nowhere in what comes out."""
    lines = []
    config = toy_config(
        PhaseConfig(2, 2, 2, 1e-3), network=NETWORK, loss=LossConfig(lambda_temporal=0.1, lambda_auxiliary=0.4)
    )
    train(config, tmp_path / "x.safetensors", None, Hardware(), lines.append)
    assert "auxiliary" in lines[0]
    assert "temporal" in lines[0]
    trained, before = load_checkpoint(tmp_path / "x.safetensors").network, build(NETWORK).eval()
    assert (graph(trained), weights(trained)) == (graph(before), weights(before))
    off = replace(config, loss=LossConfig(lambda_auxiliary=0.0))
    train(off, tmp_path / "y.safetensors", None, Hardware(), lines.append)
    assert "auxiliary" not in lines[-2]

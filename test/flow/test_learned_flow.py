"""A flow network behind the same door as dense inverse search: by hand, in streams, and what does not fit."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from test.conftest import CPU, SIZE, tiny_network
from test.flow.making import difference_network
from vidseg_ros.checkpoints.checkpoint import Checkpoint, InferenceConfig, load_checkpoint
from vidseg_ros.cli.main import main
from vidseg_ros.data.datasets import open_dataset
from vidseg_ros.data.stored import sequences
from vidseg_ros.engines import TorchEngine, open_model
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.export import export
from vidseg_ros.errors import UserError
from vidseg_ros.evaluation.evaluator import evaluate
from vidseg_ros.flow import opening
from vidseg_ros.flow.estimator import DISFlow, FlowConfig
from vidseg_ros.flow.opening import open_flow
from vidseg_ros.io.frame import Frame
from vidseg_ros.labels import CAMVID
from vidseg_ros.simulation.street_world import StreetWorld, StreetWorldConfig
from vidseg_ros.stream import FrameStream

SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def street():
    world = StreetWorld(StreetWorldConfig(width=SIZE[0], height=SIZE[1]))
    return [Frame(world.frame(i).rgb, i * SECOND // 15) for i in range(4)]


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def opened(path, **settings):
    return open_flow(FlowConfig(model=str(path), **settings))


@pytest.mark.parametrize("size", [(64, 96), (37, 51), (5, 3)])
def test_pictures_go_in_as_they_are_and_flow_comes_out(tmp_path, size):
    """RGB from 0 to 255, the first one first; what pads them is cut off again."""
    first, second = noise(*size), noise(*size, seed=1)
    flow = opened(difference_network(tmp_path / "flow.onnx", 0.5, (3, -2)))(first, second)
    change = second.astype(np.float32) - first
    expected = np.stack([0.5 * change[..., 0] + 3, 0.5 * change[..., 1] - 2])
    assert (flow.dtype, flow.flags.c_contiguous) == (np.float32, True)
    np.testing.assert_array_equal(flow, expected)


@pytest.mark.parametrize(("size", "settings"), [(("h", "w"), {"reduction": 2}), ((32, 48), {}), ((128, 192), {})])
def test_flow_of_pictures_at_another_size_is_scaled_back(tmp_path, size, settings):
    """By a reduction, or because the file is for pictures of one size."""
    path = difference_network(tmp_path / "flow.onnx", 0, (3, -2), size)
    flow = opened(path, **settings)(noise(64, 96), noise(64, 96, 1))
    scale = 2 if settings else 64 / size[0]
    np.testing.assert_allclose(flow, np.broadcast_to(np.float32([3, -2])[:, None, None] * scale, (2, 64, 96)))


def test_sides_are_padded_to_the_multiple_that_is_set(tmp_path):
    path, seen = difference_network(tmp_path / "flow.onnx"), []

    class Watched(type(opened(path))):
        def _run(self, pictures):
            seen.append(pictures[0].shape)
            return super()._run(pictures)

    for multiple, expected in ((8, (40, 56)), (20, (40, 60))):
        Watched(FlowConfig(model=str(path), multiple=multiple))(noise(37, 51), noise(37, 51))
        assert seen.pop() == (1, 3, *expected)


def test_dense_inverse_search_stays_the_default():
    assert isinstance(open_flow(FlowConfig()), DISFlow)
    assert EngineConfig().flow == "auto"
    told = FlowConfig("medium", 2, "a.onnx")
    assert told.named("auto") is told
    assert told.named("dis:fast") == FlowConfig("fast", 2)
    assert FlowConfig("medium", 2).named("b.onnx") == FlowConfig("medium", 2, "b.onnx")


def answers(checkpoint, frames, **settings):
    stream = FrameStream(TorchEngine(checkpoint, replace(CPU, memory="flow", **settings)))
    return np.stack([stream.segment(frame).labels for frame in frames])


@pytest.fixture
def sure():
    """A checkpoint whose labels show what it remembers."""
    network = tiny_network(None)
    network.head.weight.data.mul_(500)
    return Checkpoint(network, CAMVID)


def test_streams_remember_along_the_flow_of_the_network(sure, street, tmp_path):
    """No motion in a picture at rest is what dense inverse search finds there; a wrong motion changes the labels."""
    still = [Frame(street[0].rgb, frame.stamp) for frame in street]
    zero = str(difference_network(tmp_path / "zero.onnx", 0))
    far = str(difference_network(tmp_path / "far.onnx", 0, (5, 3)))
    np.testing.assert_array_equal(answers(sure, still, flow=zero), answers(sure, still))
    assert (answers(sure, street, flow=far) != answers(sure, street, flow=zero)).any()
    told = replace(sure, inference=InferenceConfig(flow=FlowConfig(model=far)))
    told.save(tmp_path / "told.safetensors")
    told = load_checkpoint(str(tmp_path / "told.safetensors"))
    np.testing.assert_array_equal(answers(told, street), answers(sure, street, flow=far))
    np.testing.assert_array_equal(answers(told, street, flow="dis:ultrafast"), answers(sure, street))


def test_an_exported_file_says_which_flow_it_wants_and_takes_another(sure, tmp_path, street):
    pytest.importorskip("onnxscript")
    zero, path = str(difference_network(tmp_path / "zero.onnx", 0)), tmp_path / "segmentation.onnx"
    pictures = [frame.rgb for frame in street]
    export(sure, "onnx", path, SIZE, pictures, config=EngineConfig(memory="flow", flow=zero))
    assert open_model(str(path), CPU).flow == FlowConfig(model=zero)
    assert open_model(str(path), replace(CPU, flow="dis:fast")).flow == FlowConfig("fast")


def test_evaluate_along_the_flow_of_a_network(sure, street, tmp_path):
    for kind in ("frames", "labels"):
        (tmp_path / "data" / kind).mkdir(parents=True)
    truth = np.resize(np.arange(11, dtype=np.uint8), SIZE[::-1])
    for number, frame in enumerate(street):
        cv2.imwrite(str(tmp_path / f"data/frames/a_{number:05}.png"), frame.rgb[..., ::-1])
        cv2.imwrite(str(tmp_path / f"data/labels/a_{number:05}.png"), truth)
    sure.save(tmp_path / "net.safetensors")
    path, figures = difference_network(tmp_path / "far.onnx", 0, (5, 3)), {}
    for flow in (str(path), "dis:ultrafast"):
        words = ["evaluate", str(tmp_path / "net.safetensors"), str(tmp_path / "data"), "--engine", "torch"]
        words += ["--device", "cpu", "--memory", "flow", "--flow", flow, "--no-temporal", "--json"]
        assert main([*words, str(tmp_path / "figures.json")]) == 0
        told = json.loads((tmp_path / "figures.json").read_text())
        engine = TorchEngine(sure, replace(CPU, memory="flow", flow=flow))
        figures[flow] = evaluate(engine, sequences(open_dataset(str(tmp_path / "data"), CAMVID)))
        assert {name: told[name] for name in figures[flow]} == figures[flow]
    assert figures[str(path)]["per_class"] != figures["dis:ultrafast"]["per_class"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "cannot read flow network '.*': No such file or directory; name an ONNX file"),
        (lambda path: path.write_bytes(b"nothing"), r"cannot read flow network '.*' \(.*\); export it again"),
        (lambda path: difference_network(path, inputs=4), "takes .*; it must take two RGB pictures"),
        (lambda path: difference_network(path, outputs=1), "gives .*; its last output must be flow"),
    ],
)
def test_what_is_no_flow_network_is_said_in_a_line(make, words, tmp_path):
    path = tmp_path / "flow.onnx"
    make(path)
    with pytest.raises(UserError, match=words) as problem:
        opened(path)
    assert "\n" not in str(problem.value)


def test_flow_that_is_no_number_begins_the_stream_afresh(sure, street, tmp_path):
    """A step without its flow leaves no state behind that is older than the last frame."""
    path = difference_network(tmp_path / "endless.onnx", np.inf)
    stream = FrameStream(TorchEngine(sure, replace(CPU, memory="flow", flow=str(path))))
    stream.segment(street[0])
    with pytest.raises(UserError, match="gives flow that is not finite for pictures of 96x64"):
        stream.segment(street[1])
    assert stream.state is None
    np.testing.assert_array_equal(stream.segment(street[2]).labels, answers(sure, street[2:3])[0])


def test_without_onnx_runtime_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs onnxruntime; pip install 'vidseg_ros\[onnx\]'"):
        opened(difference_network(tmp_path / "flow.onnx"))


@pytest.mark.parametrize("name", ["dis", "dis:slow", "raft", "", "flow.pt"])
def test_names_that_are_none(name, tmp_path):
    with pytest.raises(UserError, match=f"flow is '{name}'; use auto, dis:ultrafast, dis:fast, dis:medium or a file"):
        EngineConfig(flow=name)


def test_settings_that_are_none():
    for settings, words in (({"model": "flow.pt"}, "flow.model is 'flow.pt'"), ({"multiple": 0}, "flow.multiple is 0")):
        with pytest.raises(UserError, match=words):
            FlowConfig(**settings)

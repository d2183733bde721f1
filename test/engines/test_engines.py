"""All engines give the labels of the network, frame by frame, with their own states."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from test.conftest import CPU, SIZE, tiny_network
from vidseg_ros.checkpoints.checkpoint import Checkpoint, InferenceConfig, load_checkpoint
from vidseg_ros.checkpoints.importing import ESPNET_CAMVID
from vidseg_ros.engines import TorchEngine, cudagraph, open_engine, opening
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.registry import RUNTIMES
from vidseg_ros.engines.step import InferenceStep, hold
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID, IGNORE
from vidseg_ros.networks import build
from vidseg_ros.networks.gated_flow import GatedFlowConfig
from vidseg_ros.networks.stgru import STGRUConfig


def here(name):
    needs = RUNTIMES[name].needs
    return pytest.param(
        name, marks=pytest.mark.skipif(any(not find_spec(n) for n in needs), reason=f"{name} is missing")
    )


ENGINES = [here(name) for name, runtime in RUNTIMES.items() if "cpu" in runtime.devices]
POSITIONS = [None, "L1a", "L1b", "L1c", "L1d"]


def lively(network):
    """Give every parameter and batch norm statistic a value of its own, as training does."""
    torch.manual_seed(5)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
            if isinstance(module, nn.PReLU):
                module.weight.uniform_(-0.2, 1.4)
    if network.cell is not None:
        nn.init.normal_(network.cell.h0)
        nn.init.normal_(network.cell.c0)
    return network


def pictures(count, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(64, 96), (37, 51)])
@pytest.mark.parametrize("position", POSITIONS)
def test_a_folded_network_is_the_same_network(position, size):
    network = lively(tiny_network(position))
    frame = torch.from_numpy(pictures(2, *size)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        first = network.initial_state(2, *size)
        expected, state = network(frame, first)
        logits, mine = network.for_inference()(frame, first)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mine, state, atol=1e-4, rtol=1e-4)
    left = [name for name, m in network.for_inference().named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert left == ["norm_eighth"]  # stands alone, between a cell and a transposed convolution


@pytest.mark.parametrize("position", POSITIONS)
def test_constant_channels_become_one(position):
    """Weight decay ends channels; what their shift leaves of them still counts, also at the borders."""
    network = lively(tiny_network(position))
    norm = network.encoder.norm3.norm
    with torch.no_grad():
        norm.weight[::3] = 0
    frame = torch.from_numpy(pictures(2, 37, 51)).permute(0, 3, 1, 2)
    folded = network.for_inference()
    with torch.inference_mode():
        first = network.initial_state(2, 37, 51)
        torch.testing.assert_close(folded(frame, first)[0], network(frame, first)[0], atol=1e-4, rtol=1e-4)
        channels = folded.features(frame).shape[1]
    assert channels == int((norm.weight != 0).sum()) + 1


@pytest.mark.parametrize(("position", "hysteresis"), [(None, 0.3), ("L1b", None)])  # both: cell_at_inference, below
@pytest.mark.parametrize("name", ENGINES)
def test_engines_agree(name, position, hysteresis):
    """Two streams, of which the second begins a frame later, against the plain network."""
    network = lively(tiny_network(position))
    engine = open_engine(Checkpoint(network, CAMVID), EngineConfig(name, "cpu", 1, hysteresis=hysteresis))
    height, width = SIZE[1], SIZE[0]
    states, truth = [None, None], [(None, None), (None, None)]
    for number in range(4):
        batch = pictures(2, height, width, number)
        if number == 1:
            states[1], truth[1] = None, (None, None)
        prediction, states = engine.step(batch, states, confidence=number % 2 == 1)
        for i in range(2):
            frame = torch.from_numpy(batch[i : i + 1]).permute(0, 3, 1, 2)
            before, last = truth[i]
            with torch.inference_mode():
                logits, after = network(
                    frame, before if before is not None else network.initial_state(1, height, width)
                )
            labels = slow_hold(logits[0].numpy(), last, hysteresis or 0.0)
            truth[i] = after, labels
            assert np.mean(prediction.labels[i] == labels) > 0.998
            if number % 2:
                expected = 255 * logits.softmax(1).amax(1)[0].numpy()
                assert abs(prediction.confidence[i] - expected).max() < 1.01
    assert prediction.labels.dtype == np.uint8
    engine.close()


def slow_hold(logits, last, hysteresis):
    """Add to the logit of the last label."""
    logits = logits.copy()
    if last is not None:
        rows, columns = np.indices(last.shape)
        logits[last, rows, columns] += hysteresis
    return logits.argmax(0).astype(np.uint8)


def test_a_label_is_held_until_another_is_better_by_enough():
    logits = torch.tensor([[1.0, 1.0, 1.0], [1.4, 1.6, 1.4], [0.0, 0.0, 0.0]]).view(1, 3, 1, 3)
    last = torch.tensor([[[0, 0, IGNORE]]], dtype=torch.uint8)
    assert hold(logits, last, 0.5).tolist() == [[[0, 1, 1]]]


def test_no_hysteresis_no_further_state():
    assert InferenceStep(tiny_network("L1b")).state_names == ("hidden", "cell")
    assert InferenceStep(tiny_network(None), inference=InferenceConfig(hysteresis=1.0)).state_names == ("last",)


def test_auto_falls_back_and_says_why(monkeypatch):
    monkeypatch.setattr(opening, "find_spec", lambda name: None)
    said = []
    engine = open_engine(Checkpoint(tiny_network(), CAMVID), EngineConfig(device="cpu"), said.append)
    assert type(engine).__name__ == "TorchEngine"
    assert said == [
        "engine 'openvino' needs openvino; install it with: pip install 'vidseg_ros[openvino]'; trying the next engine"
    ]
    with pytest.raises(UserError, match=r"engine 'onnxruntime' needs onnxruntime; install it with: pip"):
        open_engine(Checkpoint(tiny_network(), CAMVID), EngineConfig("onnxruntime", "cpu"))


def test_the_release_folds_too():
    """With the RGB skip and a decoder of another width."""
    config = tiny_network(None).config
    network = lively(build(replace(config, skip_rgb=True, decoder_channels=20, input=ESPNET_CAMVID)).eval())
    frame = torch.from_numpy(pictures(1, 37, 51)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        torch.testing.assert_close(network.for_inference()(frame)[0], network(frame)[0], atol=1e-4, rtol=1e-4)


class AsksTheHost(TorchDispatchMode):
    """Notes operations that bring values of the host to the device, or back: a CUDA graph cannot hold them."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in (torch.ops.aten.lift_fresh.default, torch.ops.aten._local_scalar_dense.default):
            self.found.add(str(func))
        return func(*args, **(kwargs or {}))


def asked(network, inference):
    """What a step of a network asks of the host."""
    step = InferenceStep(network, True, inference).eval()
    flow = [torch.zeros(1, 2, 64, 96)] if step.needs_flow else []
    with torch.inference_mode():
        state = step.initial_state(64, 96)
        with AsksTheHost() as mode:
            step(torch.zeros(1, 64, 96, 3, dtype=torch.uint8), *flow, *state)
    return mode.found


@pytest.mark.parametrize("memory", ["network", "flow", "off"])
@pytest.mark.parametrize("name", ["fddwnet_camvid", "espnet_camvid_fast", "espnet_l1b_camvid"])
def test_a_step_of_shipped_weights_asks_nothing_of_the_host(name, memory):
    checkpoint = load_checkpoint(name)
    assert not asked(checkpoint.network, replace(checkpoint.inference, memory=memory))


def test_recorded_steps_are_played_back(monkeypatch):
    """The buffers of a CUDA graph on the CPU: a recording is replaced by running the step again."""

    def record(step, inputs):
        outputs = [torch.zeros_like(t) for t in step(*inputs)]

        def replay():
            for buffer, value in zip(outputs, step(*inputs), strict=True):
                buffer.copy_(value)

        return replay, outputs

    monkeypatch.setattr(cudagraph, "record", record)
    checkpoint = Checkpoint(lively(tiny_network("L1b")), CAMVID)
    graph, eager = cudagraph.CudaGraphEngine(checkpoint, CPU), TorchEngine(checkpoint, CPU)
    states = {graph: [None, None], eager: [None, None]}
    kept = []
    for number in range(3):
        batch = pictures(2, 37, 51, number)
        answers = []
        for engine in (graph, eager):
            prediction, states[engine] = engine.step(batch, states[engine])
            answers.append(prediction.labels)
        np.testing.assert_array_equal(*answers)
        kept.append([t.clone() for t in states[graph][0]])
        torch.testing.assert_close(states[graph][0], states[eager][0])
    assert not torch.equal(kept[0][0], kept[1][0])
    first = graph.step(batch, [None, None])[1][0][0]
    again = first.clone()
    graph.step(pictures(2, 37, 51, 9), [None, None])
    assert torch.equal(first, again)  # a state that somebody keeps does not change


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_graphs_agree_with_the_cpu():
    checkpoint = Checkpoint(lively(tiny_network("L1b")), CAMVID)
    graph, eager = open_engine(checkpoint, EngineConfig("cudagraph", "cuda")), TorchEngine(checkpoint, CPU)
    mine, theirs = [None], [None]
    for number in range(4):
        batch = pictures(1, 64, 96, number)
        answer, mine = graph.step(batch, mine)
        expected, theirs = eager.step(batch, theirs)
        assert np.mean(answer.labels == expected.labels) > 0.999


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (EngineConfig("cudagraph", "cpu"), "engine 'cudagraph' does not run with device 'cpu'; use one of cuda"),
        (EngineConfig("tensorrt", "cpu"), "engine 'tensorrt' does not run with device 'cpu'; use one of cuda"),
        (
            EngineConfig("onnxruntime", "cpu", precision="bf16"),
            "engine 'onnxruntime' does not run with precision 'bf16'; use one of f32",
        ),
        (
            EngineConfig("openvino", "cpu", precision="f16"),
            "engine 'openvino' does not run with precision 'f16'; use one of f32, bf16",
        ),
    ],
)
def test_what_an_engine_cannot_do(config, message):
    with pytest.raises(UserError) as caught:
        open_engine(Checkpoint(tiny_network(), CAMVID), config)
    assert str(caught.value) == message


def test_openvino_starts_from_its_cache(tmp_path, monkeypatch):
    module = pytest.importorskip("vidseg_ros.engines.openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    checkpoint, config = Checkpoint(lively(tiny_network("L1b")), CAMVID), EngineConfig("openvino", "cpu", 1)
    batch = pictures(1, 64, 96)
    first, _ = open_engine(checkpoint, config).step(batch, [None])
    (file,) = (tmp_path / "vidseg_ros").glob("*.model")
    convert = module.convert
    monkeypatch.setattr(module, "convert", lambda step: pytest.fail("converted again"))
    again, _ = open_engine(checkpoint, config).step(batch, [None])
    np.testing.assert_array_equal(again.labels, first.labels)
    converted = []
    monkeypatch.setattr(module, "convert", lambda step: converted.append(step) or convert(step))
    file.write_text("damaged")
    repaired, _ = open_engine(checkpoint, config).step(batch, [None])
    np.testing.assert_array_equal(repaired.labels, first.labels)
    open_engine(Checkpoint(lively(tiny_network("L1b", seed=1)), CAMVID), config).step(batch, [None])
    assert len(converted) == 2  # the damaged one, and other weights
    assert len(list((tmp_path / "vidseg_ros").glob("*.model"))) == 2


def test_threads_take_turns_with_a_request():
    """The node may still warm up beside its steps: without turns, one thread is given what another one asked for."""
    pytest.importorskip("vidseg_ros.engines.openvino")
    checkpoint = Checkpoint(lively(tiny_network(None)), CAMVID)
    engine, frames = open_engine(checkpoint, EngineConfig("openvino", "cpu", 1)), pictures(4, 192, 256)

    def labels(number):
        return engine.step(frames[number % 4][None], [None])[0].labels

    right = [labels(number) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for number, found in enumerate(pool.map(labels, range(100))):
            np.testing.assert_array_equal(found, right[number % 4])


COME_AND_GO = """
import os, signal
import numpy as np
from test.conftest import SIZE, tiny_network
from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.engines import open_engine
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.labels import CAMVID

engines = [open_engine(Checkpoint(tiny_network(None), CAMVID), EngineConfig("openvino", "cpu", 1)) for _ in range(2)]
for engine in engines:
    engine.step(np.zeros((1, *SIZE[::-1], 3), np.uint8), [None])
while engines:
    del engine
    engine = engines.pop(0)
del engine
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_signals_are_handled_after_engines_came_and_went():
    """The runtime gives its thread a stack for handlers; where that is freed in use, any signal ends the process."""
    pytest.importorskip("vidseg_ros.engines.openvino")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", COME_AND_GO]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (ended.returncode, ended.stdout) == (0, "handled\n"), ended.stderr


ALONG = {
    "memory": (None, InferenceConfig(memory="flow")),
    "labels": (None, InferenceConfig(hysteresis=0.2, warped=True)),
    "stgru": (STGRUConfig(kernel=3), InferenceConfig(hysteresis=0.1)),
    "gated_flow": (GatedFlowConfig(), InferenceConfig()),
    "cell": (None, InferenceConfig()),
    "cell_at_inference": (None, InferenceConfig(hysteresis=0.2, warped=True)),
}


def along(kind):
    propagation, inference = ALONG[kind]
    cell = None if kind in ("gated_flow", "labels") else replace(tiny_network("L1b").config.cell, warped=kind == "cell")
    return build(replace(tiny_network("L1b").config, cell=cell, propagation=propagation)).eval(), inference


@pytest.mark.parametrize("kind", ALONG)
def test_a_step_along_the_flow_asks_nothing_of_the_host(kind):
    assert not asked(*along(kind))


@pytest.mark.parametrize("kind", ALONG)
@pytest.mark.parametrize("name", ENGINES)
def test_engines_agree_along_the_flow(name, kind):
    """Two streams with flow, one of which begins later; the others follow PyTorch, which follows the definition.

    Rounding decides for two pixels in a thousand of this noise at most.
    """
    network, inference = along(kind)
    checkpoint = Checkpoint(lively(network), CAMVID, inference=inference)
    config = EngineConfig(name, "cpu", 1)
    engine, plain = open_engine(checkpoint, config), TorchEngine(checkpoint, replace(config, engine="torch"))
    random, states, expected = np.random.default_rng(3), [None, None], [None, None]
    for number in range(3):
        batch = pictures(2, SIZE[1], SIZE[0], number)
        flow = random.normal(0, 3, (2, 2, SIZE[1], SIZE[0])).astype(np.float32)
        if number == 1:
            states[1] = expected[1] = None
        mine, states = engine.step(batch, states, flow=flow)
        theirs, expected = plain.step(batch, expected, flow=flow)
        assert np.mean(mine.labels == theirs.labels) > 0.998
    assert engine.flow is not None


def test_without_flow_a_step_says_what_it_wants():
    engine = TorchEngine(Checkpoint(tiny_network(), CAMVID), replace(CPU, memory="flow"))
    frame = pictures(1, 64, 96)
    for flow, given in ((None, "nothing"), (np.zeros((1, 2, 3, 4), np.float32), r"\(1, 2, 3, 4\)")):
        with pytest.raises(UserError, match=rf"flow is {given}; this model takes float32 \(1, 2, 64, 96\)"):
            engine.step(frame, [None], flow=flow)


@pytest.mark.parametrize("name", ENGINES)
def test_memory_off_forgets_before_each_frame_and_keeps_the_hysteresis(name):
    checkpoint = Checkpoint(lively(tiny_network("L1b")), CAMVID, inference=InferenceConfig(hysteresis=0.2))
    engine = open_engine(checkpoint, EngineConfig(name, "cpu", 1, memory="off"))
    state, last = None, None
    for number in range(3):
        frame = pictures(1, SIZE[1], SIZE[0], number)
        prediction, (state,) = engine.step(frame, [state])
        with torch.inference_mode():
            logits, _ = checkpoint.network(torch.from_numpy(frame).permute(0, 3, 1, 2))
        last = slow_hold(logits[0].numpy(), last, 0.2)
        assert np.mean(prediction.labels[0] == last) > 0.998
    assert len(state) == 1

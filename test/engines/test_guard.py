"""An engine whose lower precision is wrong on this machine gives way to float32."""

import numpy as np
import pytest
import torch

from test.conftest import CPU, tiny_network, wakeful
from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.engines import TorchEngine, open_engine
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.guard import blocks, difference
from vidseg_ros.labels import CAMVID

BF16 = EngineConfig("torch", "cpu", 1, "bf16")


def spoil(monkeypatch, value, part):
    """Let steps in bf16 give labels or a memory of another ``value``."""
    right = TorchEngine.step

    def step(self, *arguments, **options):
        prediction, states = right(self, *arguments, **options)
        if self.dtype == torch.bfloat16 and part == "labels":
            prediction.labels[...] = value
        elif self.dtype == torch.bfloat16:
            states = [tuple(torch.full_like(t, value) for t in state) for state in states]
        return prediction, states

    monkeypatch.setattr(TorchEngine, "step", step)


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [("labels", 254, "0 % of the labels are those of f32"), ("state", float("nan"), "its memory is not finite")],
)
def test_it_falls_back_and_says_why(part, value, words, monkeypatch):
    said, checkpoint = [], Checkpoint(wakeful(), CAMVID)
    spoil(monkeypatch, value, part)
    engine = open_engine(checkpoint, BF16, said.append)
    assert said == [f"precision bf16 is wrong on this machine ({words}); running in f32"]
    frames = blocks(engine.input_size)
    wanted, _ = open_engine(checkpoint, CPU).step(frames, [None])
    np.testing.assert_array_equal(engine.step(frames, [None])[0].labels, wanted.labels)


@pytest.mark.parametrize("name", ["torch", "openvino"])
@pytest.mark.parametrize("position", [None, "L1b"])
def test_what_is_right_stays(name, position):
    if name == "openvino":
        pytest.importorskip("openvino")
    said, checkpoint = [], Checkpoint(wakeful() if position else tiny_network(None), CAMVID)
    open_engine(checkpoint, EngineConfig(name, "cpu", 1, "bf16"), said.append)
    engine = TorchEngine(checkpoint, BF16)
    assert said == [] or difference(engine, TorchEngine(checkpoint, CPU))  # on a machine that is wrong


def test_float32_is_not_looked_at(monkeypatch):
    monkeypatch.setattr("vidseg_ros.engines.opening.difference", lambda *_: pytest.fail("it is the yardstick"))
    open_engine(Checkpoint(tiny_network(), CAMVID), CPU)

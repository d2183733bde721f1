"""A GPU that is out of memory, or gone: the node opens its engine anew, on the CPU where nothing else is left."""

import threading
import time

import numpy as np
import pytest
import torch

from test.conftest import SIZE
from test.ros.conftest import TIMEOUT
from vidseg_ros.engines import Prediction, TorchEngine, open_model
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID
from vidseg_ros.ros.segmentation import recovery, warm_up
from vidseg_ros.ros.segmentation.recovery import FAILURES

LOST = (torch.cuda.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUDA error: device-side assert triggered"))


def fail(node, monkeypatch, error):
    """Let all steps of the node's engine, and of no other, fail."""
    right, broken = TorchEngine.step, node._engine

    def step(self, *arguments, **options):
        if self is broken:
            raise error
        return right(self, *arguments, **options)

    monkeypatch.setattr(TorchEngine, "step", step)


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("lost", [False, True])
def test_the_engine_is_opened_anew(error, lost, start, monkeypatch):
    node = start[0](engine="torch")
    client, opened = start[1](), []

    def reopen(model, config, say):
        opened.append(config.engine)
        if lost and config.engine != "auto":
            raise UserError("device 'cuda' is not here")
        return open_model(model, config, say)

    monkeypatch.setattr(recovery, "open_model", reopen)
    client.ask(1.0)
    fail(node, monkeypatch, error)
    for number in range(FAILURES):
        client.send(1.1 + number / 10)
        client.wait(lambda number=number: client.count("rejected") == number + 1)
    client.ask(2.0)
    client.ask(2.1)
    values = client.report()[2]
    assert (values["processed"], values["rejected"]) == ("3", str(FAILURES))
    assert opened == (["torch", "auto"] if lost else ["torch"])


def test_no_camera_keeps_the_memory_of_a_closed_engine(start, monkeypatch):
    node = start[0](engine="torch", cameras=["front", "rear"])
    front, rear = (start[1](camera=name) for name in ("front", "rear"))
    for client in (front, rear):
        client.ask(1.0)
    assert node._cameras["rear"].stream.state is not None
    fail(node, monkeypatch, LOST[0])
    for number in range(FAILURES):
        front.send(1.1 + number / 10)
        front.wait(lambda number=number: front.count("rejected") == number + 1)
    until = time.monotonic() + TIMEOUT
    while node._cameras["rear"].stream.state is not None:
        assert time.monotonic() < until
    rear.ask(1.2)
    assert rear.count("rejected", 1) == 0


def test_a_step_now_and_then_that_fails_opens_nothing(start, monkeypatch):
    node = start[0](engine="torch")
    client, engine = start[1](), node._engine
    for number in range(FAILURES):
        with monkeypatch.context() as patch:
            fail(node, patch, RuntimeError("a hiccup"))
            client.send(1.0 + number)
            client.wait(lambda number=number: client.count("rejected") == number + 1)
        client.ask(1.1 + number)
    assert node._engine is engine


class Engine:
    """Notes its steps, whether they want confidence; the first with confidence waits for the ``gate``."""

    labels, input_size, flow = CAMVID, SIZE, None

    def __init__(self, gate=None):
        self.gate, self.broken, self.closed = gate, False, False
        self.steps, self.reached = [], threading.Event()

    def step(self, frames, states, confidence=False, flow=None):
        if self.broken and not confidence:
            raise LOST[1]
        if confidence and self.gate:
            self.reached.set()
            assert self.gate.wait(TIMEOUT)
        assert not self.closed, "a closed engine takes no step"
        self.steps.append((len(frames), confidence))
        plane = np.zeros(frames.shape[:3], np.uint8)
        return Prediction(plane, plane if confidence else None), list(states)

    def close(self):
        self.closed = True
        if self.broken:
            raise LOST[1]  # as emptying the cache of a GPU does


def test_the_engine_that_is_opened_anew_is_warmed_up_and_the_warm_up_before_is_over(start, monkeypatch):
    gate, second = threading.Event(), Engine()
    first = Engine(gate)
    monkeypatch.setattr(warm_up, "PATIENCE", 0.0)
    monkeypatch.setattr("vidseg_ros.ros.segmentation.node.open_model", lambda *_: first)
    monkeypatch.setattr(recovery, "open_model", lambda *_: second)
    node = start[0](warm=False)
    client = start[1](outputs=("label", "confidence"))
    assert first.reached.wait(TIMEOUT)
    first.broken = True
    for number in range(FAILURES):
        client.send(1.0 + number / 10)
        client.wait(lambda number=number: client.count("rejected") == number + 1)
    assert not first.closed and second.steps == []  # a step of its warm-up is not over yet
    gate.set()
    client.wait(lambda: node._warm_up.engine is second and node._warm_up.has_confidence(1))
    client.ask(2.0, output="confidence")
    assert first.closed and first.steps == [(1, False), (1, True)]
    assert second.steps[:2] == [(1, False), (1, True)]
    assert (node._engine, node._warm_up.engine) == (second, second)
    assert client.count("rejected") == FAILURES


def test_where_nothing_opens_the_node_lives_on(start, monkeypatch):
    def refuse(*_):
        raise UserError("no device is here")

    node = start[0](engine="torch")
    client = start[1]()
    monkeypatch.setattr(recovery, "open_model", refuse)
    with monkeypatch.context() as patch:
        fail(node, patch, LOST[1])
        for number in range(2 * FAILURES):
            client.send(1.0 + number / 10)
            client.wait(lambda number=number: client.count("rejected") == number + 1)
    client.ask(3.0)

"""A GPU that is out of memory, or gone: the node opens its engine anew, on the CPU where nothing else is left."""

import time

import pytest
import torch

from test.ros.conftest import TIMEOUT
from vidseg_ros.engines import TorchEngine, open_model
from vidseg_ros.errors import UserError
from vidseg_ros.ros.segmentation import recovery
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

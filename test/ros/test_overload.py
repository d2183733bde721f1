"""What the node does when images come faster than the network, from one camera or several."""

import threading

import numpy as np
import pytest

from test.ros.conftest import TIMEOUT, header


def hold(node, monkeypatch):
    """Make the network wait; returns the gate to open, whose ``reached`` is set once a step waits for it."""
    gate, step = threading.Event(), type(node._engine).step
    gate.reached = threading.Event()
    waiting = lambda *a: (gate.reached.set(), gate.wait(TIMEOUT), step(*a))[2]  # noqa: E731
    monkeypatch.setattr(type(node._engine), "step", waiting)
    return gate


def send_all(client, node, messages):
    """Send messages one by one, each after the one before has been received."""
    camera = node._cameras[client.camera]
    for count, send in enumerate(messages, camera.statistics.received + 1):
        send()
        client.wait(lambda count=count: camera.statistics.received == count)


def test_overload_drops_old_frames_and_keeps_the_newest(start, monkeypatch):
    start_node, start_client = start
    node = start_node()
    client = start_client()
    gate = hold(node, monkeypatch)
    send_all(client, node, [lambda i=i: client.send(1 + i / 20) for i in range(20)])
    gate.set()
    client.wait(lambda: client.answers["label"] and client.answers["label"][-1].header == header(1 + 19 / 20))
    values = client.report()[2]
    processed = int(values["processed"])
    assert processed <= 2  # the one that was under way, and the newest
    assert (int(values["dropped"]), values["resets"]) == (20 - processed, "0")


@pytest.mark.parametrize(("seconds", "resets"), [(3.0, 0), (60.0, 1), (-5.0, 1)])
def test_dropped_frames_bridge_a_gap_but_hide_no_jump(start, monkeypatch, seconds, resets):
    """A network slower than max_gap keeps its memory; a jump among the dropped frames still resets it."""
    start_node, start_client = start
    node = start_node(max_gap=0.5)
    client = start_client()
    client.ask(10.0)
    gate = hold(node, monkeypatch)
    stamps = np.arange(10.1, 13.0, 0.1) if resets == 0 else 10 + seconds + np.arange(0, 0.4, 0.1)
    send_all(client, node, [lambda t=t: client.send(t) for t in stamps])
    gate.set()
    client.wait(lambda: client.answers["label"][-1].header == header(stamps[-1]))
    assert client.count("resets") == resets


def test_cameras_that_wait_together_run_as_one_batch(start, monkeypatch):
    start_node, start_client = start
    node = start_node(cameras=["front", "rear"])
    front, rear = start_client("front"), start_client("rear")
    gate = hold(node, monkeypatch)
    batches, step = [], type(node._engine).step
    monkeypatch.setattr(type(node._engine), "step", lambda s, f, *a: (batches.append(len(f)), step(s, f, *a))[1])
    send_all(front, node, [lambda: front.send(1.0)])
    assert gate.reached.wait(TIMEOUT)
    send_all(front, node, [lambda: front.send(1.1)])
    send_all(rear, node, [lambda: rear.send(1.1)])
    gate.set()
    front.wait(lambda: front.answers["label"] and front.answers["label"][-1].header == header(1.1))
    rear.wait(lambda: rear.answers["label"])
    assert batches == [1, 2]


def test_neither_a_busy_nor_a_broken_camera_delays_another(start, monkeypatch):
    """What all send while the network works waits in a slot each, and goes into the next step together."""
    start_node, start_client = start
    node = start_node(cameras=["busy", "broken", "quiet"])
    busy, broken, quiet = (start_client(name) for name in ("busy", "broken", "quiet"))
    gate = hold(node, monkeypatch)
    steps, step = [], type(node._engine).step
    monkeypatch.setattr(type(node._engine), "step", lambda s, f, *a: (steps.append(len(f)), step(s, f, *a))[1])
    send_all(busy, node, [lambda: busy.send(1.0)])
    assert gate.reached.wait(TIMEOUT)
    send_all(busy, node, [lambda i=i: busy.send(1 + i / 30) for i in range(1, 30)])
    send_all(broken, node, [lambda i=i: broken.send(1 + i / 30, encoding="nonsense") for i in range(10)])
    send_all(quiet, node, [lambda: quiet.send(1.5)])
    gate.set()
    quiet.wait(lambda: quiet.answers["label"])
    assert steps == [1, 2]
    busy.wait(lambda: busy.answers["label"] and busy.answers["label"][-1].header == header(1 + 29 / 30))
    counters = [quiet.report(index)[2] for index in range(3)]
    assert [(values["processed"], values["dropped"], values["rejected"]) for values in counters] == [
        ("2", "28", "0"), ("0", "9", "1"), ("1", "0", "0"),
    ]  # fmt: skip

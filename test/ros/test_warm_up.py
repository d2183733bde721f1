"""What a topic can ask for is ready before it is asked for, and nobody waits for it."""

import threading
import time

import numpy as np
import pytest

from test.conftest import CPU, SIZE
from test.ros.conftest import TIMEOUT
from vidseg_ros.engines import Prediction, open_engine
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.labels import CAMVID
from vidseg_ros.ros.segmentation import warm_up
from vidseg_ros.ros.segmentation.warm_up import WarmUp


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    monkeypatch.setattr(warm_up, "PATIENCE", 0.0)


class SlowEngine:
    """Takes its first step with confidence once the ``gate`` is open; notes what it was asked for."""

    labels, input_size = CAMVID, SIZE

    flow = None

    def __init__(self):
        self.gate, self.asked = threading.Event(), []

    def step(self, frames, states, confidence=False, flow=None):
        first = (len(frames), confidence) not in self.asked
        self.asked.append((len(frames), confidence))
        if first and confidence:
            assert self.gate.wait(TIMEOUT)
        plane = np.zeros(frames.shape[:3], np.uint8)
        return Prediction(plane, plane + 255 if confidence else None), list(states)

    def close(self):
        pass


def until(done):
    deadline = time.monotonic() + TIMEOUT
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_labels_of_all_batches_are_warm_at_once_and_confidence_follows():
    engine, warnings = SlowEngine(), []
    warm = WarmUp(engine, SIZE, 3, warnings.append)
    assert engine.asked[:3] == [(1, False), (2, False), (3, False)]
    assert not any(warm.has_confidence(batch) for batch in (1, 2, 3))
    engine.gate.set()
    until(lambda: warm.has_confidence(3))
    warm.stop()
    assert engine.asked[3:] == [(1, True), (2, True), (3, True)]
    assert not warnings


def test_it_can_be_stopped_amid_its_steps():
    engine = SlowEngine()
    warm = WarmUp(engine, SIZE, 3, print)
    until(lambda: (1, True) in engine.asked)
    threading.Timer(0.1, engine.gate.set).start()
    warm.stop()
    assert (2, True) not in engine.asked


def test_a_failure_is_said_and_the_labels_go_on():
    class Failing(SlowEngine):
        def step(self, frames, states, confidence=False, flow=None):
            if confidence:
                raise MemoryError("too\nlarge")
            return super().step(frames, states)

    warnings = []
    warm = WarmUp(Failing(), SIZE, 1, warnings.append)
    warm.stop()
    assert warnings == ["no confidence of 1 frames at once: MemoryError: too large"]
    assert not warm.has_confidence(1)


def test_opening_confidence_stops_no_labels(start, monkeypatch):
    start_node, start_client = start
    engine = SlowEngine()
    monkeypatch.setattr("vidseg_ros.ros.segmentation.node.open_model", lambda *_: engine)
    start_node(warm=False)
    client = start_client(outputs=("label", "confidence"))
    for number in range(5):  # while the step with confidence is not ready
        client.ask(1 + number / 10)
    assert not client.answers["confidence"]
    engine.gate.set()
    until(lambda: engine.asked.count((1, True)) == 1)
    deadline, number = time.monotonic() + TIMEOUT, 0
    while not client.answers["confidence"]:  # its step is ready a moment after it was taken
        client.ask(2 + number / 10)
        number += 1
        assert time.monotonic() < deadline, "no confidence came in time"
    assert client.count("rejected") == 0


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_no_lazy_work_is_left(checkpoint, name, monkeypatch):
    if name == "openvino":
        pytest.importorskip("openvino")
    engine = open_engine(checkpoint, EngineConfig(name, "cpu"))
    warm = WarmUp(engine, SIZE, 2, print)
    until(lambda: warm.has_confidence(2))
    monkeypatch.setattr(engine, "_open", None, raising=False)
    monkeypatch.setattr("vidseg_ros.engines.torch.InferenceStep", None)
    for batch in (1, 2):
        for confidence in (True, False):
            engine.step(np.zeros((batch, *SIZE[::-1], 3), np.uint8), [None] * batch, confidence)
    warm.stop()


def test_openvino_converts_once_for_labels_with_and_without_confidence(checkpoint, monkeypatch):
    openvino = pytest.importorskip("vidseg_ros.engines.openvino")
    converted, convert = [], openvino.convert
    monkeypatch.setattr(openvino, "convert", lambda step: converted.append(step.size) or convert(step))
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    engine = openvino.OpenVinoEngine(checkpoint, CPU)
    frame = np.random.default_rng(0).integers(0, 256, (1, *SIZE[::-1], 3), dtype=np.uint8)
    (without, _), (with_, _) = (engine.step(frame, [None], confidence) for confidence in (False, True))
    np.testing.assert_array_equal(without.labels, with_.labels)
    assert (without.confidence, with_.confidence.shape) == (None, with_.labels.shape)
    assert converted == [SIZE[::-1]]

"""Forward and backward: the mean of two plain runs, in bounded memory, from one sequence to the next."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from test.conftest import CPU, SIZE, tiny_network
from vidseg_ros.bidirectional import BidirectionalStream
from vidseg_ros.checkpoints.checkpoint import Checkpoint, InferenceConfig
from vidseg_ros.engines import TorchEngine
from vidseg_ros.errors import UserError
from vidseg_ros.flow.estimator import DISFlow
from vidseg_ros.io.frame import Frame
from vidseg_ros.labels import CAMVID
from vidseg_ros.networks import build
from vidseg_ros.networks.bidirectional import AHEAD, CHUNK, forward_backward
from vidseg_ros.networks.stgru import STGRUConfig
from vidseg_ros.simulation.street_world import StreetWorld, StreetWorldConfig

SECOND = 1_000_000_000


def street(count, size=SIZE):
    world = StreetWorld(StreetWorldConfig(width=size[0], height=size[1]))
    return [Frame(world.frame(i).rgb, i * SECOND // 15) for i in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, CHUNK - 1, CHUNK, CHUNK + AHEAD, CHUNK + AHEAD + 1, 3 * CHUNK])
def test_by_hand(count):
    """A step that sums numbers: what came before a frame, and what comes behind it up to the end of its window."""

    def step(frame, before, state):
        assert (before is None) == (state is None)
        if before is not None:
            neighbours.append(abs(frame - before))
        total = frame + (state or 0)
        return torch.tensor(float(total)), total

    neighbours = []
    found = list(forward_backward(iter(range(1, count + 1)), step))
    assert [frame for frame, _ in found] == list(range(1, count + 1))
    for frame, answer in found:
        last = min((frame - 1) // CHUNK * CHUNK + CHUNK + AHEAD, count)
        assert answer.item() == (sum(range(1, frame + 1)) + sum(range(frame, last + 1))) / 2
    assert set(neighbours) <= {1}


def test_it_reads_no_further_than_it_must():
    taken = []

    def frames():
        for number in range(1000):
            taken.append(number)
            yield number

    walk = forward_backward(frames(), lambda frame, before, state: (torch.zeros(()), 0))
    next(walk)
    assert len(taken) == CHUNK + AHEAD


@pytest.mark.parametrize("kind", ["flow", "stgru", "cell"])
def test_the_mean_of_two_runs(kind):
    propagation = STGRUConfig(kernel=3) if kind == "stgru" else None
    config = replace(tiny_network("L1b" if kind == "cell" else None).config, propagation=propagation)
    torch.manual_seed(0)
    network = build(config).eval()
    memory = "flow" if kind == "flow" else "network"
    engine = TorchEngine(Checkpoint(network, CAMVID, inference=InferenceConfig(hysteresis=1.0, memory=memory)), CPU)
    frames = street(4)

    def run(order):
        state, before, answers = None, None, {}
        for number in order:
            picture = frames[number].rgb
            flow = np.zeros((2, SIZE[1], SIZE[0]), np.float32)
            if before is not None:
                flow = DISFlow(engine.flow)(picture, before)
            given = flow[None] if engine.flow else None
            answers[number], state = engine.probabilities(picture[None], state, given)
            before = picture
        return answers

    there, back = run(range(4)), run(reversed(range(4)))
    found = list(BidirectionalStream(engine).segment(frames))
    assert [frame for frame, _ in found] == frames
    for number, (_, answer) in enumerate(found):
        mean = (there[number] + back[number]) / 2
        torch.testing.assert_close(mean.sum(0), torch.ones(SIZE[::-1]))
        assert np.mean(answer.labels == mean.argmax(0).numpy()) > 0.999
        assert answer.reset == ""
    if kind == "stgru":
        plain = engine.network(torch.from_numpy(frames[0].rgb).permute(2, 0, 1)[None])[0].softmax(1)[0]
        torch.testing.assert_close(there[0], plain, atol=1e-4, rtol=1e-4)


def test_sequences_are_apart():
    """A gap, a change of size and time that runs back: each side of them is as if it were alone."""
    frames = street(6)
    moved = [replace(f, stamp=f.stamp + 9 * SECOND) for f in frames[2:4]]
    large = street(1, (128, 96))
    parts = [frames[:2], moved, [replace(large[0], stamp=moved[-1].stamp)], frames[4:]]
    engine = TorchEngine(Checkpoint(tiny_network(), CAMVID, inference=InferenceConfig(memory="flow")), CPU)
    stream = BidirectionalStream(engine)
    together = list(stream.segment([frame for part in parts for frame in part]))
    alone = [answer for part in parts for answer in stream.segment(part)]
    assert [frame.stamp for frame, _ in together] == [frame.stamp for frame, _ in alone]
    for (frame, answer), (_, expected) in zip(together, alone, strict=True):
        assert answer.labels.shape == frame.rgb.shape[:2]
        np.testing.assert_array_equal(answer.labels, expected.labels)
    reasons = [answer.reset for _, answer in together]
    assert [reason != "" for reason in reasons] == [False, False, True, False, True, True, False]
    assert "resolution changed" in reasons[4]


def test_only_pytorch_gives_probabilities():
    class Other:
        flow = None

    with pytest.raises(UserError, match="need the probabilities of a checkpoint; use --engine torch"):
        BidirectionalStream(Other())


def test_nothing_in_nothing_out():
    engine = TorchEngine(Checkpoint(tiny_network(), CAMVID), CPU)
    assert list(BidirectionalStream(engine).segment([])) == []

import numpy as np
import pytest
import torch

from test.conftest import CPU, SIZE, tiny_network
from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.engines import TorchEngine
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID

POSITIONS = [None, "L1a", "L1b", "L1c", "L1d"]
SIZES = [(SIZE[1], SIZE[0]), (37, 51)]


def frames(count, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def network(position, seed=0):
    """A tiny network that starts from a state of its own."""
    result = tiny_network(position, seed)
    if position:
        torch.nn.init.normal_(result.cell.h0)
        torch.nn.init.normal_(result.cell.c0)
    return result


def engine(position):
    return TorchEngine(Checkpoint(network(position), CAMVID), CPU)


def reference(position, batch, state=None):
    with torch.inference_mode():
        return network(position)(torch.from_numpy(batch).permute(0, 3, 1, 2), state)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("position", POSITIONS)
def test_labels_are_those_of_the_network(position, height, width):
    runner, states, state = engine(position), [None, None], None
    for seed in range(3):
        batch = frames(2, height, width, seed)
        prediction, states = runner.step(batch, states)
        logits, state = reference(position, batch, state)
        assert (prediction.labels.shape, prediction.labels.dtype) == ((2, height, width), np.uint8)
        assert np.mean(prediction.labels == logits.argmax(1).numpy()) > 0.999
        assert prediction.confidence is None
        for i, mine in enumerate(states):
            torch.testing.assert_close(mine, tuple(t[i : i + 1] for t in state), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("position", POSITIONS)
def test_fresh_and_running_streams_in_one_batch(position):
    runner, batch = engine(position), frames(3, 37, 51)
    _, (old,) = runner.step(frames(1, 37, 51, seed=1), [None])
    _, (older,) = runner.step(frames(1, 37, 51, seed=2), [old])
    before = [None, old, older]
    together, after = runner.step(batch, before, confidence=True)
    for i in range(3):
        alone, (state,) = runner.step(batch[i : i + 1], [before[i]], confidence=True)
        assert np.mean(alone.labels[0] == together.labels[i]) > 0.999
        assert abs(alone.confidence[0] - together.confidence[i].astype(int)).max() <= 1
        torch.testing.assert_close(after[i], state, atol=1e-4, rtol=1e-4)


def test_states_are_left_as_they_were():
    """The engine holds no state: the same frame and state give the same answer, whatever came between."""
    runner, batch = engine("L1b"), frames(1, 37, 51)
    _, (state,) = runner.step(batch, [None])
    kept = [tensor.clone() for tensor in state]
    first, _ = runner.step(batch, [state])
    runner.step(frames(1, 37, 51, seed=1), [state])
    again, _ = runner.step(batch, [state])
    np.testing.assert_array_equal(first.labels, again.labels)
    assert all(torch.equal(a, b) for a, b in zip(state, kept, strict=True))


def test_it_says_what_it_runs():
    runner = engine("L1b")
    assert runner.labels == CAMVID
    assert runner.input_size == SIZE


@pytest.mark.parametrize("device", ["cuda:99", "tpu9", "hpu", ""])
def test_unknown_device_names_those_that_are_here(device):
    with pytest.raises(UserError, match=rf"device '{device}' is not here; use auto or one of cpu\b") as caught:
        TorchEngine(Checkpoint(tiny_network(), CAMVID), EngineConfig(device=device))
    assert len(str(caught.value).splitlines()) == 1


def test_auto_finds_a_device():
    assert TorchEngine(Checkpoint(tiny_network(), CAMVID)).device.type in ("cpu", "cuda")

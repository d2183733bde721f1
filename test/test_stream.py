import cv2
import numpy as np
import pytest
import torch

import vidseg_ros
from test.conftest import CPU, SIZE, tiny_network, wakeful
from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.engines import Prediction, TorchEngine
from vidseg_ros.errors import UserError
from vidseg_ros.flow.estimator import FlowConfig
from vidseg_ros.io.frame import Frame, nanoseconds
from vidseg_ros.labels import CAMVID
from vidseg_ros.networks import unroll
from vidseg_ros.stream import FrameStream, StreamConfig, segment_together

WIDTH, HEIGHT = SIZE


class FakeEngine:
    """Labels red pixels with the age of the stream and all others 0; remembers what it was given."""

    labels = CAMVID
    input_size = (32, 16)
    flow = None

    def __init__(self):
        self.calls = []

    def step(self, frames, states, confidence=False, flow=None):
        self.calls.append((frames, list(states), confidence))
        ages = [(state or 0) + 1 for state in states]
        labels = np.stack([(f[..., 0] > 127) * np.uint8(age) for f, age in zip(frames, ages, strict=True)])
        return Prediction(labels, 255 - labels if confidence else None), ages


def picture(height=20, width=30):
    """Red on the right half."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[:, width // 2 :, 0] = 255
    return rgb


def frame(stamp=0.0, rgb=None, **setup):
    return Frame(picture() if rgb is None else rgb, nanoseconds(stamp), **setup)


def timed(setup):
    """With the times, given in seconds, in nanoseconds."""
    times = {key: nanoseconds(setup[key]) for key in ("stamp", "elapsed") if setup.get(key) is not None}
    return setup | times


def age(result):
    """How many frames the stream remembers, the last one included."""
    return result.labels.max()


def noise(count, height=HEIGHT, width=WIDTH, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.fixture
def engine():
    return TorchEngine(Checkpoint(wakeful(), CAMVID), CPU)


def test_state_is_carried():
    engine = FakeEngine()
    stream = FrameStream(engine)
    results = [stream.segment(frame(0.1 * i)) for i in range(3)]
    assert [states for _, states, _ in engine.calls] == [[None], [1], [2]]
    assert [age(result) for result in results] == [1, 2, 3]
    assert [result.reset for result in results] == ["", "", ""]
    assert all(result.model_ms > 0 for result in results)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stamp": 0.9}, "time ran back by 0.100 s"),
        ({"stamp": 1.51}, "time jumped by 0.510 s (max_gap is 0.5 s)"),
        ({"rgb": picture(20, 31)}, "resolution changed from 30x20 to 31x20"),
        ({"rgb": picture(21, 30)}, "resolution changed from 30x20 to 30x21"),
        ({"frame_id": "rear"}, "frame_id changed from 'front' to 'rear'"),
        ({"encoding": "bayer"}, "encoding changed from 'rgb' to 'bayer'"),
        ({"stamp": 1.6, "elapsed": 0.6}, "time jumped by 0.600 s (max_gap is 0.5 s)"),
        ({"stamp": 1.6, "elapsed": -0.2}, "time ran back by 0.200 s"),
        ({"stamp": 0.9, "elapsed": 0.1}, "time ran back by 0.100 s"),
    ],
)
def test_breaks_reset(change, reason):
    before = {"stamp": 1.0, "rgb": picture(), "frame_id": "front", "encoding": "rgb"}
    stream = FrameStream(FakeEngine())
    stream.segment(Frame(**timed(before)))
    result = stream.segment(Frame(**timed(before | change)))
    assert (age(result), result.reset) == (1, reason)
    following = stream.segment(Frame(**timed(before | change | {"elapsed": None})))
    assert (age(following), following.reset) == (2, "")


@pytest.mark.parametrize(
    "change", [{}, {"stamp": 1.5}, {"stamp": 1.001}, {"rgb": 255 - picture()}, {"stamp": 3.0, "elapsed": 0.1}]
)
def test_what_continues_does_not_reset(change):
    """Equal stamps continue, and so does a camera that ran on while frames were dropped."""
    before = {"stamp": 1.0, "rgb": picture(), "frame_id": "front", "encoding": "rgb"}
    stream = FrameStream(FakeEngine())
    stream.segment(Frame(**timed(before)))
    result = stream.segment(Frame(**timed(before | change)))
    assert (age(result), result.reset) == (2, "")


def test_max_gap_is_configured():
    patient = FrameStream(FakeEngine(), StreamConfig(max_gap=2.0))
    hasty = FrameStream(FakeEngine(), StreamConfig(max_gap=0.01))
    for stream, expected in ((patient, 2), (hasty, 1)):
        stream.segment(frame(0.0))
        assert age(stream.segment(frame(1.9))) == expected


def test_reset_forgets_time_and_setup_too():
    stream = FrameStream(FakeEngine())
    stream.segment(frame(5.0))
    stream.reset()
    result = stream.segment(frame(1.0, picture(40, 50), frame_id="other"))
    assert (age(result), result.reset) == (1, "")


@pytest.mark.parametrize(("height", "width"), [(20, 30), (37, 51), (101, 33), (16, 32), (5, 7)])
def test_results_have_the_resolution_of_the_frame(height, width):
    result = FrameStream(FakeEngine()).segment(frame(0.0, picture(height, width)), confidence=True)
    for plane, values in ((result.labels, {0, 1}), (result.confidence, {254, 255})):
        assert (plane.shape, plane.dtype) == ((height, width), np.uint8)
        assert set(np.unique(plane)) == values, "ids are never mixed"
    right = np.arange(width) >= width / 2
    away = abs(np.arange(width) - width / 2) > width / 16
    np.testing.assert_array_equal(result.labels[:, away], np.broadcast_to(right, (height, width))[:, away])


@pytest.mark.parametrize(("size", "expected"), [(None, (16, 32)), ((48, 24), (24, 48))])
def test_the_network_sees_its_own_size(size, expected):
    engine = FakeEngine()
    FrameStream(engine, StreamConfig(size=size)).segment(frame())
    frames, _, _ = engine.calls[0]
    assert (frames.shape, frames.dtype) == ((1, *expected, 3), np.uint8)


def test_confidence_only_when_asked():
    engine = FakeEngine()
    stream = FrameStream(engine)
    assert stream.segment(frame()).confidence is None
    assert stream.segment(frame(), confidence=True).confidence is not None
    assert [asked for _, _, asked in engine.calls] == [False, True]


def test_cameras_share_a_batch_and_keep_their_memory_apart():
    engine = FakeEngine()
    streams = [FrameStream(engine) for _ in range(3)]
    sizes = [(20, 30), (41, 27), (16, 32)]
    for stamp in (0.0, 0.1):
        segment_together(streams, [frame(stamp, picture(*size)) for size in sizes])
    results = segment_together(
        streams, [frame(s, picture(*size)) for s, size in zip((0.2, 9.0, 0.2), sizes, strict=True)]
    )
    assert [age(result) for result in results] == [3, 1, 3]
    assert [bool(result.reset) for result in results] == [False, True, False]
    assert [result.labels.shape for result in results] == sizes
    assert [states for _, states, _ in engine.calls] == [[None] * 3, [1] * 3, [2, None, 2]]


def test_cameras_of_different_network_sizes_are_batched_by_size():
    engine = FakeEngine()
    sizes = [None, (48, 24), None]
    streams = [FrameStream(engine, StreamConfig(size=size)) for size in sizes]
    streams[0].segment(frame(0.0))
    results = segment_together(streams, [frame(0.1, picture(20 + i, 30)) for i in range(3)])
    assert [frames.shape[:3] for frames, _, _ in engine.calls[1:]] == [(2, 16, 32), (1, 24, 48)]
    assert [(age(result), len(result.labels)) for result in results] == [(2, 20), (1, 21), (1, 22)]


def agreement(first, second):
    return np.mean([np.mean(a == b) for a, b in zip(first, second, strict=True)])


def test_a_stream_is_the_unrolled_network(engine):
    video = noise(20)
    stream = FrameStream(engine)
    results = [stream.segment(Frame(rgb, nanoseconds(i / 15))).labels for i, rgb in enumerate(video)]
    with torch.inference_mode():
        logits, _ = unroll(wakeful(), torch.from_numpy(video).permute(0, 3, 1, 2)[:, None])
        single = torch.cat([wakeful()(torch.from_numpy(rgb).permute(2, 0, 1)[None])[0] for rgb in video])
    assert agreement(results, logits.argmax(2)[:, 0].numpy()) > 0.999
    assert agreement(results, single.argmax(1).numpy()) < 0.9, "memory matters"


def test_cameras_together_equal_cameras_alone(engine):
    """Three cameras of unlike resolution; the second one breaks off at the third step."""
    sizes = [(HEIGHT, WIDTH), (50, 70), (81, 33)]
    videos = [noise(5, *size, seed=i) for i, size in enumerate(sizes)]
    stamps = [[0.0, 0.1, 0.2, 0.3, 0.4], [0.0, 0.1, 5.0, 5.1, 5.2], [0.0, 0.1, 0.2, 0.3, 0.4]]
    together = [FrameStream(engine) for _ in sizes]
    alone = [FrameStream(engine) for _ in sizes]
    for t in range(5):
        frames = [Frame(video[t], nanoseconds(stamp[t])) for video, stamp in zip(videos, stamps, strict=True)]
        joint = segment_together(together, frames, confidence=True)
        single = [stream.segment(f, confidence=True) for stream, f in zip(alone, frames, strict=True)]
        assert [bool(r.reset) for r in joint] == [False, t == 2, False]
        assert [r.reset for r in joint] == [r.reset for r in single]
        assert agreement([r.labels for r in joint], [r.labels for r in single]) > 0.999
        assert all(abs(a.confidence - b.confidence.astype(int)).max() <= 1 for a, b in zip(joint, single, strict=True))
    for mine, theirs in zip(together, alone, strict=True):
        torch.testing.assert_close(mine.state, theirs.state, atol=1e-4, rtol=1e-4)


def test_confidence_is_the_probability_of_the_label(engine):
    (rgb,) = noise(1)
    result = FrameStream(engine).segment(Frame(rgb, 0), confidence=True)
    with torch.inference_mode():
        probability = wakeful()(torch.from_numpy(rgb).permute(2, 0, 1)[None])[0].softmax(1).amax(1)[0]
    expected = np.rint(255 * probability.numpy())
    assert expected.max() - expected.min() > 100
    assert result.confidence.dtype == np.uint8
    assert abs(result.confidence - expected).max() <= 1  # where 255 p lies at a half
    assert np.mean(result.confidence == expected) > 0.999


@pytest.mark.parametrize("position", [None, "L1a"])
def test_other_networks_stream_too(position):
    engine = TorchEngine(Checkpoint(tiny_network(position), CAMVID), CPU)
    stream = FrameStream(engine)
    for i, rgb in enumerate(noise(2)):
        assert stream.segment(Frame(rgb, nanoseconds(i / 15))).labels.max() < len(CAMVID)


class FlowEngine(FakeEngine):
    """Wants flow and remembers it."""

    flow = FlowConfig()

    def step(self, frames, states, confidence=False, flow=None):
        self.flows = flow
        return super().step(frames, states, confidence)


def moving(count):
    """A texture that moves two pixels to the right a frame."""
    rgb = cv2.GaussianBlur(noise(1, 64, 96)[0], (0, 0), 2) * 3
    return [np.roll(rgb, 2 * i, 1) for i in range(count)]


def test_the_stream_brings_the_flow_to_the_frame_before():
    stream = FrameStream(FlowEngine(), StreamConfig(size=(96, 64)))
    first, second, third = moving(3)
    stream.step(first, 0)
    assert not stream.engine.flows.any()
    result = stream.segment(Frame(second, 10**8))
    assert np.median(stream.engine.flows[0, 0, 20:-20, 20:-20]) == pytest.approx(-2, abs=0.5)
    assert result.flow_ms > 0
    stream.step(third, 10**10)
    assert not stream.engine.flows.any(), "a reset has no flow"
    stream.reset()
    stream.step(second, 10**10)
    assert not stream.engine.flows.any()


def test_a_caller_may_fill_its_buffer_again():
    stream, buffer = FrameStream(FlowEngine(), StreamConfig(size=(96, 64))), np.empty((64, 96, 3), np.uint8)
    for number, rgb in enumerate(moving(2)):
        buffer[...] = rgb
        stream.step(buffer, number * 10**8)
    assert np.median(stream.engine.flows[0, 0, 20:-20, 20:-20]) == pytest.approx(-2, abs=0.5)


def test_cameras_have_their_own_flow_and_a_resumed_stream_goes_on():
    engine = FlowEngine()
    streams = [FrameStream(engine, StreamConfig(size=(96, 64))) for _ in range(2)]
    first, second, _ = moving(3)
    for stream in streams:
        stream.step(first, 0)
    segment_together(streams, [Frame(second, 10**8), Frame(first, 10**8)])
    assert np.median(engine.flows[0, 0, 20:-20, 20:-20]) == pytest.approx(-2, abs=0.5)
    assert np.abs(engine.flows[1]).max() < 1e-3
    together = engine.flows[:1]
    other = FrameStream(engine, StreamConfig(size=(96, 64)))
    other.resume(Frame(first, 0), 1)
    other.step(second, 10**8)
    np.testing.assert_array_equal(engine.flows, together)


@pytest.mark.parametrize(
    ("rgb", "stamp", "words"),
    [
        (picture().astype(np.float32), 0, "rgb is float32"),
        (picture()[..., 0], 0, r"rgb is uint8 \(20, 30\)"),
        ("a.png", 0, "rgb is str"),
        (picture(), 0.5, "stamp is 0.5; give whole nanoseconds"),
        (picture(), True, "stamp is True"),
    ],
)
def test_what_is_no_frame_is_named(rgb, stamp, words):
    with pytest.raises(UserError, match=words):
        FrameStream(FakeEngine()).step(rgb, stamp)


def test_two_lines_for_a_user():
    stream = vidseg_ros.open_stream(engine="torch", device="cpu")
    labels = stream.step(noise(1, 90, 120)[0], 0)
    assert (labels.shape, labels.dtype) == ((90, 120), np.uint8)
    with pytest.raises(UserError, match="engine is 'fast'; use one of auto"):
        vidseg_ros.open_stream(engine="fast")

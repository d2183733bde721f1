"""Networks that remember along the flow, in streams: resets, odd frames, resumed runs, files of other sizes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from test.conftest import CPU, SIZE, tiny_network
from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.engines import TorchEngine, open_model
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.engines.export import export
from vidseg_ros.errors import UserError
from vidseg_ros.io.frame import Frame
from vidseg_ros.labels import CAMVID
from vidseg_ros.networks import build
from vidseg_ros.networks.gated_flow import GatedFlowConfig
from vidseg_ros.networks.stgru import STGRUConfig
from vidseg_ros.replay.journal import SNAPSHOT_EVERY, JournaledStream
from vidseg_ros.simulation.street_world import StreetWorld, StreetWorldConfig
from vidseg_ros.stream import FrameStream, StreamConfig, segment_together

KINDS = {"stgru": STGRUConfig(kernel=3), "gated_flow": GatedFlowConfig()}
SECOND = 1_000_000_000
pytestmark = pytest.mark.parametrize("kind", KINDS)


def checkpoint(kind, position=None):
    torch.manual_seed(0)
    network = build(replace(tiny_network(position).config, propagation=KINDS[kind])).eval()
    with torch.no_grad():
        network.head.weight.mul_(500)  # so that it says more than one thing
    return Checkpoint(network, CAMVID)


def engine(kind, **settings):
    return TorchEngine(checkpoint(kind), replace(CPU, **settings))


def street(count, size=SIZE):
    world = StreetWorld(StreetWorldConfig(width=size[0], height=size[1]))
    return [Frame(world.frame(i).rgb, i * SECOND // 15) for i in range(count)]


def labels(stream, frames):
    return [stream.segment(frame).labels for frame in frames]


def test_memory_off_is_the_network_alone_and_the_first_frame_is_too(kind):
    frames, made = street(3), checkpoint(kind)
    alone = Checkpoint(build(replace(made.network.config, propagation=None)).eval(), CAMVID)
    tensors = made.network.state_dict()
    alone.network.load_state_dict({name: tensors[name] for name in alone.network.state_dict()})
    expected = labels(FrameStream(TorchEngine(alone, CPU)), frames)
    off = TorchEngine(made, replace(CPU, memory="off"))
    assert off.flow is None
    for mine, other in zip(labels(FrameStream(off), frames), expected, strict=True):
        np.testing.assert_array_equal(mine, other)
    remembered = labels(FrameStream(TorchEngine(made, CPU)), frames)
    np.testing.assert_array_equal(remembered[0], expected[0])
    assert any((mine != other).any() for mine, other in zip(remembered[1:], expected[1:], strict=True))


def test_frames_of_another_size_and_gaps_are_resets(kind):
    """What comes behind a reset is as if nothing had been before it; the reason is given."""
    made, frames = engine(kind), street(4)
    large = replace(street(1, (128, 96))[0], stamp=frames[1].stamp + 1)
    late = [replace(frame, stamp=frame.stamp + 9 * SECOND) for frame in frames[2:]]
    stream = FrameStream(made)
    results = [stream.segment(frame) for frame in (*frames[:2], large, *late)]
    assert [bool(result.reset) for result in results] == [False, False, True, True, False]
    assert "resolution changed" in results[2].reset
    fresh = FrameStream(made)
    for result, expected in zip(results[3:], labels(fresh, late), strict=True):
        np.testing.assert_array_equal(result.labels, expected)


def test_black_and_identical_frames(kind):
    """They say nothing of motion: labels come to rest, but for what sharpening moves; numbers stay numbers."""
    made = engine(kind)
    for rgb in (np.zeros((SIZE[1], SIZE[0], 3), np.uint8), street(1)[0].rgb):
        stream = FrameStream(made)
        found = labels(stream, [Frame(rgb, i * SECOND // 15) for i in range(4)])
        assert all(part.isfinite().all() for part in stream.state)
        assert np.mean(found[-1] == found[-2]) > 0.9


def test_cameras_of_one_engine_do_not_mix(kind):
    made, frames = engine(kind), street(4)
    other = [replace(frame, rgb=frame.rgb[:, ::-1].copy()) for frame in frames]
    streams = [FrameStream(made) for _ in range(2)]
    together = [segment_together(streams, pair) for pair in zip(frames, other, strict=True)]
    for number, video in enumerate((frames, other)):
        for results, expected in zip(together, labels(FrameStream(made), video), strict=True):
            np.testing.assert_array_equal(results[number].labels, expected)


def test_a_resumed_run_has_the_same_bytes(kind, tmp_path):
    made, frames = engine(kind), street(SNAPSHOT_EVERY + 8)
    whole = JournaledStream(made, StreamConfig(), tmp_path / "whole")
    expected = [whole.step(frame).labels for frame in frames]
    killed = JournaledStream(made, StreamConfig(), tmp_path / "killed")
    for frame in frames[: SNAPSHOT_EVERY + 3]:
        killed.step(frame)
    killed.close()
    resumed = JournaledStream(made, StreamConfig(), tmp_path / "killed")
    found = [resumed.step(frame).labels for frame in frames]
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_an_exported_file_says_what_it_takes(kind, tmp_path):
    """It runs in a stream; frames and flow of another size are named; and it has its own memory."""
    made, path = checkpoint(kind), tmp_path / "network.onnx"
    frames = [frame.rgb for frame in street(3)]
    parity = export(made, "onnx", path, SIZE, frames)
    assert parity.agreement > 99.9
    file = open_model(str(path), EngineConfig())
    assert file.flow == made.inference.flow
    plain = FrameStream(TorchEngine(made, CPU))
    for mine, other in zip(labels(FrameStream(file), street(3)), labels(plain, street(3)), strict=True):
        assert np.mean(mine == other) > 0.999
    frame = frames[0][None]
    with pytest.raises(UserError, match=r"flow is \(1, 2, 3, 4\); this model takes float32 \(1, 2, 64, 96\)"):
        file.step(frame, [None], flow=np.zeros((1, 2, 3, 4), np.float32))
    large = np.zeros((1, 96, 128, 3), np.uint8)
    with pytest.raises(UserError, match="takes frames of 96x64, not 128x96; export another with --size 128x96"):
        file.step(large, [None], flow=np.zeros((1, 2, 96, 128), np.float32))
    with pytest.raises(UserError, match=r"warped is True, and '.*' has its own; give it to the checkpoint"):
        open_model(str(path), EngineConfig(warped=True))


def test_what_flow_says_of_a_fresh_stream_does_not_matter(kind):
    made, frame = engine(kind), street(1)[0].rgb[None]
    still, wild = np.zeros((1, 2, *SIZE[::-1]), np.float32), np.full((1, 2, *SIZE[::-1]), 7.5, np.float32)
    np.testing.assert_array_equal(
        made.step(frame, [None], flow=still)[0].labels, made.step(frame, [None], flow=wild)[0].labels
    )

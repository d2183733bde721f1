"""A checkpoint that remembers along the flow, and both ways, as a teacher."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from test.conftest import tiny_network
from test.pseudo_labels.test_pseudo_labels import video
from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.cli.main import main
from vidseg_ros.data.datasets import open_dataset
from vidseg_ros.errors import UserError
from vidseg_ros.io.images import write_image
from vidseg_ros.labels import CAMVID, IGNORE
from vidseg_ros.networks import build
from vidseg_ros.networks.stgru import STGRUConfig
from vidseg_ros.pseudo_labels.labeling import label
from vidseg_ros.pseudo_labels.video_teacher import VideoTeacher, wants_video_teacher
from vidseg_ros.teachers import CheckpointTeacher, PseudoConfig

ONE = PseudoConfig(confidence=0.0, scales=(1.0,), flip=False, agreement=False)


def test_without_flow_it_says_what_a_checkpoint_says(checkpoint_file, drive):
    config = replace(ONE, scales=(1.0, 1.25), flip=True)
    plain, mine = CheckpointTeacher(str(checkpoint_file), config), VideoTeacher(str(checkpoint_file), config)
    for frame in drive:
        expected, got = plain.logits(frame.rgb).exp(), mine.logits(frame.rgb).exp()
        assert (expected - got).abs().mean() < 0.02  # logits are resized there, probabilities here


def test_both_ways_is_the_mean(checkpoint_file, drive):
    """Of a run over the video and one over its reverse, which end at each frame."""
    config = replace(ONE, memory="flow", bidirectional=True)
    teacher, frames = VideoTeacher(str(checkpoint_file), config), video(drive)

    def run(order):
        teacher.begin()
        return {number: teacher.logits(frames[number].rgb).exp() for number in order}

    there, back = run(range(5)), run(reversed(range(5)))
    found = list(label(frames, teacher, config))
    assert [item.begins for item in found] == [True, False, False, False, False]
    for number, item in enumerate(found):
        expected = (there[number] + back[number]).argmax(0).numpy()
        assert np.mean(item.labels == expected) > 0.99  # float16 decides for the rest
        one_way = there[number].argmax(0).numpy()
        assert number == 4 or np.mean(item.labels == one_way) < 1


def test_a_gap_is_not_looked_across(checkpoint_file, drive):
    config = replace(ONE, bidirectional=True)
    teacher, apart = VideoTeacher(str(checkpoint_file), config), video(drive, gap_at=2)
    found = list(label(apart, teacher, config))
    assert [item.begins for item in found] == [True, False, True, False, False]
    alone = [*label(apart[:2], teacher, config), *label(apart[2:], teacher, config)]
    for item, other in zip(found, alone, strict=True):
        np.testing.assert_array_equal(item.labels, other.labels)


def test_which_teacher(checkpoint_file, tmp_path):
    assert not wants_video_teacher(str(checkpoint_file), ONE)
    assert wants_video_teacher(str(checkpoint_file), replace(ONE, memory="flow"))
    assert wants_video_teacher(str(checkpoint_file), replace(ONE, bidirectional=True))
    torch.manual_seed(0)
    network = build(replace(tiny_network(None).config, propagation=STGRUConfig(kernel=3))).eval()
    Checkpoint(network, CAMVID).save(tmp_path / "stgru.safetensors")
    assert wants_video_teacher(str(tmp_path / "stgru.safetensors"), ONE)
    with pytest.raises(UserError, match="teacher 'hf:some/model' remembers nothing; leave out --memory and"):
        wants_video_teacher("hf:some/model", replace(ONE, bidirectional=True))
    with pytest.raises(UserError, match="memory is 'both'; use one of auto, network, flow, off"):
        replace(ONE, memory="both")


def test_the_verb(checkpoint_file, drive, tmp_path):

    for number, frame in enumerate(drive):
        write_image(tmp_path / "video" / f"{number:03}.png", np.ascontiguousarray(frame.rgb[..., ::-1]))
    command = ["pseudo-label", str(tmp_path / "video"), "--teacher", str(checkpoint_file), "--no-flip"]
    command += ["--scales", "1", "--confidence", "0", "--memory", "flow", "--bidirectional"]
    assert main([*command, "--output", str(tmp_path / "out")]) == 0
    frames = open_dataset(str(tmp_path / "out"), CAMVID)
    assert len(frames) == len(drive)
    assert (frames[0].read().labels != IGNORE).any()

import json
from itertools import islice

import cv2
import numpy as np
import pytest
import torch

from test.conftest import SIZE, tiny_network
from vidseg_ros.checkpoint import Checkpoint, load_checkpoint
from vidseg_ros.cli.main import main
from vidseg_ros.config import CellConfig, InputConfig, NetworkConfig, PhaseConfig, TrainConfig
from vidseg_ros.data.camvid import camvid_frames
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CITYSCAPES
from vidseg_ros.networks import build
from vidseg_ros.training.trainer import class_frequency, copy_matching, random_clips, to_batch, train

NETWORK = NetworkConfig(p=1, q=1, cell=CellConfig(state_size=(8, 12)), input=InputConfig(SIZE))


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """Two labelled stills: a light sky above a dark road."""
    folder = tmp_path / "datasets" / "toy"
    for name in ("frames", "labels"):
        (folder / name).mkdir(parents=True)
    labels = np.repeat(np.array([0, 3], np.uint8), 40)[:, None].repeat(120, 1)
    labels[:, :6] = 11  # void
    for number in (30, 60):
        rng = np.random.default_rng(number)
        image = np.where(labels == 0, 210, 60)[..., None] + rng.integers(-20, 20, (80, 120, 3))
        cv2.imwrite(str(folder / "frames" / f"s_{number:05}.png"), image.astype(np.uint8))
        cv2.imwrite(str(folder / "labels" / f"s_{number:05}.png"), labels)
    monkeypatch.setenv("VIDSEG_DATA", str(tmp_path / "datasets"))
    return folder


def config(*phases):
    return TrainConfig(NETWORK, phases, data="toy")


def test_learns_and_saves(dataset, tmp_path):
    losses = []
    phases = (
        PhaseConfig(steps=40, clip_length=1, batch=4, learning_rate=5e-3),
        PhaseConfig(steps=4, clip_length=3, batch=2, learning_rate=1e-3, freeze_norm=True),
    )
    output = tmp_path / "new" / "toy.safetensors"
    train(config(*phases), output, None, "cpu", lambda phase, step, values: losses.append((phase, step, values)))
    assert [(phase, step) for phase, step, _ in losses] == [(0, i) for i in range(40)] + [(1, i) for i in range(4)]
    ce = [values["ce"] for _, _, values in losses]
    assert np.mean(ce[30:40]) < 0.7 * np.mean(ce[:5])
    assert all(values["incons"] == 0 for phase, _, values in losses if phase == 0)
    assert losses[-1][2]["incons"] > 0
    saved = load_checkpoint(output)
    assert saved.about["training"]["phases"][1]["clip_length"] == 3
    assert saved.network.config == NETWORK


def test_same_seed_same_weights(dataset, tmp_path):
    phases = PhaseConfig(steps=3, clip_length=2, batch=2, learning_rate=1e-3)
    runs = [train(config(phases), tmp_path / "x.safetensors", None, "cpu", lambda *_: None) for _ in range(2)]
    for mine, theirs in zip(*(run.network.state_dict().values() for run in runs), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_bad_loss_stops_and_says_where(dataset, tmp_path):
    with pytest.raises(UserError, match=r"the loss is (nan|inf) at step \d+; lower the learning rate"):
        train(config(PhaseConfig(50, 2, 1, 1e30)), tmp_path / "x.safetensors", None, "cpu", lambda *_: None)


def test_unwritable_output_is_said_before_training(dataset):
    with pytest.raises(UserError, match="cannot write"):
        train(config(PhaseConfig(1, 1, 1, 1.0)), dataset / "frames" / "s_00030.png" / "x", None, "cpu", pytest.fail)


def test_street_clips_are_mixed_in(dataset):
    stills = [frame.read() for frame in camvid_frames(dataset)]
    phase = PhaseConfig(1, 2, 1, 1.0, synthetic_share=0.5)
    clips = list(islice(random_clips(stills, phase, SIZE, np.random.default_rng(0)), 12))
    names = [clip.sequence for clip in clips]
    assert 3 <= sum(name.startswith("street") for name in names) <= 9
    frames, labels = to_batch(clips, torch.device("cpu"))
    assert frames.shape == (2, 12, 3, SIZE[1], SIZE[0])
    assert labels.shape == (2, 12, SIZE[1], SIZE[0])


def test_class_frequency_leaves_void_out(dataset):
    stills = [frame.read() for frame in camvid_frames(dataset)]
    torch.testing.assert_close(class_frequency(stills, 11)[[0, 3]], torch.tensor([0.5, 0.5]))


def test_single_frame_network_starts_a_network_with_memory():
    single, video = tiny_network(None, seed=1), tiny_network("L1b", seed=2)
    before = video.cell.gates.convolution.weight.clone()
    copy_matching(single, video)
    assert torch.equal(video.encoder.down2.reduce.weight, single.encoder.down2.reduce.weight)
    assert torch.equal(video.up_half.weight, single.up_half.weight)
    assert torch.equal(video.cell.gates.convolution.weight, before)


def test_verbs_train_and_evaluate(dataset, tmp_path, capsys):
    yaml = tmp_path / "toy.yaml"
    yaml.write_text(
        "network: {p: 1, q: 1, input: {size: [96, 64]}}\n"
        "data: toy\nphases: [{steps: 2, clip_length: 1, batch: 2, learning_rate: 0.001}]\n"
    )
    output, figures = tmp_path / "toy.safetensors", tmp_path / "toy.json"
    assert main(["train", str(yaml), str(output)]) == 0
    assert main(["evaluate", str(output), "toy", "--json", str(figures)]) == 0
    report = json.loads(figures.read_text())
    assert set(report) >= {"miou", "acc", "cons", "consw", "per_class", "frames", "checkpoint", "dataset"}
    assert report["frames"] == 2
    assert report["cons"] is None  # the two stills are a second apart: no pair
    capsys.readouterr()


def test_verbs_say_in_one_line_what_is_wrong(dataset, tmp_path, checkpoint_file, capsys):
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "bad.yaml").write_text("network: {}\nphases: [{stepps: 2}]\n")
    cityscapes = tmp_path / "cityscapes.safetensors"
    Checkpoint(build(NetworkConfig(classes=19, p=0, q=0)), CITYSCAPES).save(cityscapes)
    cases = {
        ("evaluate", str(cityscapes), "toy"): "knows 'cityscapes' labels, the data has 'camvid'",
        ("evaluate", str(checkpoint_file), "toy", "--json", "/proc/nowhere/x.json"): "cannot write",
        ("train", str(checkpoint_file), "x.safetensors"): "not valid YAML",
        ("train", str(tmp_path / "empty.yaml"), "x.safetensors"): "network is missing in TrainConfig",
        ("train", str(tmp_path / "bad.yaml"), "x.safetensors"): "did you mean 'phases.steps'",
        ("train", "/no/such.yaml", "x.safetensors"): "cannot read config",
        ("evaluate", "/no/such.safetensors", "toy"): "does not exist",
        ("evaluate", str(checkpoint_file), "nowhere"): "does not exist",
        ("evaluate", str(checkpoint_file), "toy", "--device", "tpu9"): "device 'tpu9' is not here",
        ("import-weights", "/no/such.pth", "x.safetensors"): "does not exist",
    }
    for arguments, problem in cases.items():
        assert main(list(arguments)) == 2
        error = capsys.readouterr().err
        assert problem in error
        assert error.count("\n") == 1

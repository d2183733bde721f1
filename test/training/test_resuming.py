"""What a run takes up again is not trusted: damaged, foreign and hostile files are one line, or the run begins anew."""

import json
import pickle
import random

import pytest
import torch

from test.conftest import SIZE, tiny_network
from test.test_security import DUMPS, Canary
from test.training.conftest import toy_config
from vidseg_ros.checkpoints.checkpoint import Checkpoint, load_checkpoint
from vidseg_ros.cli.main import main
from vidseg_ros.data.config import SourceConfig
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID
from vidseg_ros.losses.config import LossConfig
from vidseg_ros.networks.config import InputConfig
from vidseg_ros.networks.pspnet import PSPNetConfig
from vidseg_ros.schema import load_yaml
from vidseg_ros.training.config import PhaseConfig, TrainConfig
from vidseg_ros.training.module import SegmentationModule
from vidseg_ros.training.run import RunFolder, WholeFiles
from vidseg_ros.training.trainer import Hardware, train

CASES = 100  # of random damage
CONFIG = """
network: {p: 1, q: 1, cell: {state_size: [8, 12]}, input: {size: [96, 64]}}
data: [{source: toy}]
augmentation: {shadows: 0, occluders: 0}
phases: [{steps: 3, clip_length: 2, batch: 2, learning_rate: 0.001}]
save_minutes: 0.0000001
"""
REMEDY = "put back an undamaged copy, or remove"


@pytest.fixture
def stopped(dataset, tmp_path, monkeypatch):
    """Return the folder of a run that was interrupted behind its first step."""
    (tmp_path / "toy.yaml").write_text(CONFIG)

    def interrupt(module, *_):
        if module.global_step == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SegmentationModule, "on_train_batch_start", interrupt)
        assert main(["train", str(tmp_path / "toy.yaml"), str(tmp_path / "x.safetensors"), "--device", "cpu"]) == 130
    assert torch.load(tmp_path / "x.run/phase1/state.ckpt")["global_step"] == 1
    return tmp_path / "x.run"


def resume(folder):
    output = folder.with_suffix(".safetensors")
    return main(["train", str(folder.parent / "toy.yaml"), str(output), "--resume", "--device", "cpu"])


def one_line(folder, file, capsys):
    """The line about ``file`` at which the run does not go on."""
    capsys.readouterr()
    assert resume(folder) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"cannot go on from '{file}' (" in said and REMEDY in said, said
    assert not folder.with_suffix(".safetensors").exists()
    return said


def changed(data, draw):
    """Cut, or with random bytes in random places."""
    if draw.random() < 0.3:
        return data[: draw.randrange(len(data))]
    damaged = bytearray(data)
    for _ in range(draw.choice((1, 1, 4, 64))):
        damaged[draw.randrange(len(data))] = draw.randrange(256)
    return bytes(damaged)


def of_another(state, key, value):
    return {**state, key: value}


FOREIGN = {
    "nothing": lambda state: {},
    "a number": lambda state: 7,
    "weights alone": lambda state: {"state_dict": state["state_dict"]},
    "another network": lambda state: of_another(state, "state_dict", tiny_network(None).state_dict()),
    "no optimizer": lambda state: of_another(state, "optimizer_states", []),
    "another optimizer": lambda state: of_another(
        state, "optimizer_states", [{"state": {}, "param_groups": [{"params": g["params"], "factor": 1.0, "lr": 1.0,
                                                                    "initial_lr": 1.0}]}
                                    for part in state["optimizer_states"] for g in part["param_groups"]]
    ),
    "other loops": lambda state: of_another(state, "loops", {"fit_loop": 3}),
    "other callbacks": lambda state: of_another(state, "callbacks", [1, 2]),
}  # fmt: skip


def test_a_state_that_is_none_of_this_run_is_one_line(stopped, capsys):
    file = stopped / "phase1/state.ckpt"
    good = file.read_bytes()
    for damaged in (b"", good[:100], good[: len(good) // 2], good[:-1], b"PK\x03\x04" + bytes(100), b"{}"):
        file.write_bytes(damaged)
        one_line(stopped, file, capsys)
    damaged = bytearray(good)
    damaged[len(good) // 2] ^= 1
    file.write_bytes(damaged)
    assert "checksum" in one_line(stopped, file, capsys)
    file.write_bytes(good)
    state = torch.load(file)
    for name, make in FOREIGN.items():
        torch.save(make(state), file)
        print(name)
        one_line(stopped, file, capsys)
    file.write_bytes(good)
    assert resume(stopped) == 0


@pytest.mark.parametrize("dump", sorted(DUMPS))
def test_nothing_in_a_state_runs(dump, stopped, tmp_path, capsys):
    mark, file = tmp_path / "mark", stopped / "phase1/state.ckpt"
    state = torch.load(file)
    for planted in (Canary(mark), {**state, "loops": Canary(mark)}):
        DUMPS[dump](planted, file)
        one_line(stopped, file, capsys)
        assert not mark.exists()
    (pickle.loads(file.read_bytes()) if dump == "pickle" else torch.load(file, weights_only=False))
    assert mark.exists(), "the canary sings"


def test_nobody_can_ask_for_more_than_weights(tmp_path):
    torch.save(Canary(tmp_path / "mark"), tmp_path / "state.ckpt")
    with pytest.raises(UserError, match=r"cannot go on from '.*state\.ckpt'"):
        WholeFiles().load_checkpoint(tmp_path / "state.ckpt", weights_only=False)
    assert not (tmp_path / "mark").exists()


def test_random_damage_of_a_state_is_found(stopped):
    """Or it is where it does no harm: all that is read is as it was."""
    file, draw = stopped / "phase1/state.ckpt", random.Random(0)
    good, state = file.read_bytes(), torch.load(file)
    refused = 0
    for _ in range(CASES):
        file.write_bytes(changed(good, draw))
        try:
            read = WholeFiles().load_checkpoint(file)
        except UserError:
            refused += 1
        else:
            assert pickle.dumps(plain(read)) == pickle.dumps(plain(state))
    assert refused > CASES // 2


def plain(state):
    """Tensors as bytes."""
    if isinstance(state, dict):
        return [(str(key), plain(value)) for key, value in state.items()]
    if isinstance(state, list | tuple):
        return [plain(value) for value in state]
    return state.numpy().tobytes() if torch.is_tensor(state) else str(state)


def test_a_description_that_cannot_be_read_is_one_line(stopped, capsys):
    file = stopped / "config.json"
    good = file.read_bytes()
    wrong = [b"", b"\xff", b"{", b"[]", b"null", b"7", b"{}", b"[" * 100_000, good[:-20], good[: len(good) // 2]]
    wrong += [
        good.replace(b'"seed": 0', b'"seed": ' + value) for value in (b"NaN", b'"x"', b"[]", b"1e999", b"9" * 5000)
    ]
    wrong += [good.replace(b'"weight_decay": ', b'"weight_decay": 1' + 400 * b"0" + b', "x": ')]
    for damaged in wrong:
        assert damaged != good
        file.write_bytes(damaged)
        one_line(stopped, file, capsys)
    file.unlink()
    assert resume(stopped) == 0, "the remedy that was named"
    assert json.loads(file.read_text()) == json.loads(good)


def test_random_damage_of_a_description_is_one_line_or_none(stopped, tmp_path):
    file, draw = stopped / "config.json", random.Random(0)
    good, config = file.read_bytes(), load_yaml(tmp_path / "toy.yaml", TrainConfig)
    refused = 0
    for _ in range(CASES):
        file.write_bytes(changed(good, draw))
        try:
            RunFolder(stopped.with_suffix(".safetensors"), config, resume=True)
        except UserError as error:
            refused += 1
            assert str(file) in str(error)
        else:  # what differed is white space, or a learning rate
            assert json.loads(file.read_bytes()) == json.loads(good)
    assert refused > CASES // 2


@pytest.mark.parametrize("name", ["done.safetensors", "best.safetensors"])
def test_a_result_of_a_phase_that_is_none_is_one_line(name, stopped, checkpoint_file, capsys):
    file = stopped / "phase1" / name
    Checkpoint(tiny_network(None), CAMVID, {"metrics": {}, "step": 1}).save(file)
    assert "another network" in one_line(stopped, file, capsys)
    file.write_bytes(checkpoint_file.read_bytes())
    assert "no phase of training wrote it" in one_line(stopped, file, capsys)
    file.write_bytes(checkpoint_file.read_bytes()[:1000])
    one_line(stopped, file, capsys)


def test_a_state_of_another_phase_is_one_line(dataset, tmp_path):
    """Of the same network, of which another part was trained."""
    config = toy_config(PhaseConfig(1, 1, 2, 1e-3, "single"), PhaseConfig(2, 2, 2, 1e-3, "cell"), save_minutes=1e-9)
    output = tmp_path / "x.safetensors"
    train(config, output, None, Hardware(), lambda line: None)
    first, second = (tmp_path / f"x.run/phase{number}/state.ckpt" for number in (1, 2))
    (second.parent / "done.safetensors").unlink()
    second.write_bytes(first.read_bytes())
    with pytest.raises(UserError, match=rf"cannot go on from '{second}'.*remove it to train its phase anew"):
        train(config, output, None, Hardware(), lambda line: None, resume=True)
    second.unlink()
    train(config, output, None, Hardware(), lambda line: None, resume=True)
    assert load_checkpoint(output).about["steps"] == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"network": PSPNetConfig(input=InputConfig(SIZE), backbone="mobilenetv2")},  # has dropout
        {"optimizer": "sgd", "ema_decay": 0.9, "validation": "toy", "validate_every": 2, "monitor": ""},
        {"data": (SourceConfig("toy"), SourceConfig("toy", stills=False)), "loss": LossConfig(lambda_temporal=1)},
    ],
    ids=["dropout", "mean and validation", "mixture"],
)
def test_a_resumed_run_gives_the_same_weights_to_the_bit(settings, dataset, tmp_path, monkeypatch):
    config = toy_config(PhaseConfig(6, 2, 2, 1e-3, burn_in=2), save_minutes=1e-9, **settings)
    whole = train(config, tmp_path / "whole.safetensors", None, Hardware(), lambda line: None)
    output, stops = tmp_path / "x.safetensors", [1, 3, 4]

    def interrupt(module, *_):
        if module.global_step in stops:
            stops.remove(module.global_step)
            raise KeyboardInterrupt

    monkeypatch.setattr(SegmentationModule, "on_train_batch_start", interrupt)
    for number in range(3):
        with pytest.raises(KeyboardInterrupt, match="go on with --resume"):
            train(config, output, None, Hardware(), lambda line: None, resume=number > 0)
        torch.rand(number + 1)  # whatever the process did between
    resumed = train(config, output, None, Hardware(), lambda line: None, resume=True)
    assert resumed.about == whole.about
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], tensor), name

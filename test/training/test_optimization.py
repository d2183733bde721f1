"""Optimisers, groups, schedules, what a resumed run may change, and values that are not finite."""

import json
from contextlib import suppress
from dataclasses import replace

import pytest
import torch

from test.conftest import tiny_network
from test.training.conftest import NETWORK, toy_config
from vidseg_ros.checkpoints.checkpoint import Checkpoint
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID
from vidseg_ros.losses.config import LossConfig
from vidseg_ros.networks import build
from vidseg_ros.networks.dabnet import DABNetConfig
from vidseg_ros.networks.fddwnet import FDDWNetConfig
from vidseg_ros.networks.mininetv2 import MiniNetV2Config
from vidseg_ros.training.config import PhaseConfig
from vidseg_ros.training.divergence import DivergenceWatch
from vidseg_ros.training.module import SegmentationModule
from vidseg_ros.training.optimization import pace, parameter_groups
from vidseg_ros.training.run import RunFolder
from vidseg_ros.training.trainer import Hardware, train


def run(config, output, start=None, resume=False, say=lambda line: None):
    return train(config, output, start, Hardware(), say, resume)


def lesson_of(network, trainable="all", **settings):
    phase = PhaseConfig(1, 2, 1, 1e-3, trainable)
    return SegmentationModule(network, CAMVID, toy_config(phase, **settings), phase, torch.ones(11))


def test_schedules():
    cosine, poly = toy_config(), toy_config(schedule="poly", warm_up=0.0)
    assert [pace(step, 100, cosine) for step in (0, 50, 100)] == pytest.approx([1 / 6, 0.5, 0.0])
    assert [pace(step, 100, poly) for step in (0, 50, 100)] == pytest.approx([1.0, 0.5**0.9, 0.0])


def named(lesson, group):
    names = {id(parameter): name for name, parameter in lesson.named_parameters()}
    return {names[id(parameter)] for parameter in group["params"]}


def test_heads_are_what_an_encoder_has_behind_it():
    lesson = lesson_of(tiny_network("L1b"), loss=LossConfig())
    body, heads = parameter_groups(lesson, lesson.network, 10.0)
    assert [body["factor"], heads["factor"]] == [1.0, 10.0]
    assert all(name.startswith("network.encoder.") for name in named(lesson, body))
    assert {"network.head.weight", "network.cell.h0"} <= named(lesson, heads)
    assert len(body["params"]) + len(heads["params"]) == len(list(lesson.parameters()))
    (one,) = parameter_groups(lesson, lesson.network, 1.0)
    assert one["factor"] == 1.0 and len(one["params"]) == len(list(lesson.parameters()))


@pytest.mark.parametrize(
    ("config", "last"),
    [(FDDWNetConfig(), "network.head"), (DABNetConfig(), "network.classifier"), (MiniNetV2Config(), "network.up_half")],
)
def test_heads_of_networks_without_an_encoder_are_their_last_layers(config, last):
    lesson = lesson_of(build(config), "single")
    _, heads = parameter_groups(lesson, lesson.network, 10.0)
    assert {".".join(name.split(".")[:2]) for name in named(lesson, heads)} == {last}


def test_an_encoder_by_itself_has_its_classifier_as_head():
    lesson = lesson_of(tiny_network(None), "encoder")
    body, heads = parameter_groups(lesson, lesson.network, 10.0)
    assert named(lesson, heads) == {"head.weight", "head.bias"}
    assert all(name.startswith("network.encoder.") for name in named(lesson, body))


def test_training_as_in_the_paper(dataset, tmp_path, monkeypatch):
    seen = []

    def watch(lesson, *_):
        optimizer = lesson.trainer.optimizers[0]
        seen.append((type(optimizer).__name__, [(group["lr"], group["momentum"]) for group in optimizer.param_groups]))

    monkeypatch.setattr(SegmentationModule, "on_train_batch_end", watch)
    settings = {"optimizer": "sgd", "momentum": 0.8, "schedule": "poly", "warm_up": 0.0, "head_factor": 10.0}
    run(toy_config(PhaseConfig(4, 2, 2, 0.01), **settings), tmp_path / "x.safetensors")
    names, groups = zip(*seen, strict=True)
    assert set(names) == {"SGD"}
    rates = [0.01 * (1 - step / 4) ** 0.9 for step in (1, 2, 3, 4)]  # behind each step
    for (body, heads), rate in zip(groups, rates, strict=True):
        assert body == pytest.approx((rate, 0.8))
        assert heads == pytest.approx((10 * rate, 0.8))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"optimizer": "lion"}, "optimizer is 'lion'; use one of adamw, sgd"),
        ({"schedule": "step"}, "schedule is 'step'; use one of cosine, poly"),
        ({"momentum": 1.0}, "momentum is 1.0; give a number from 0 to below 1"),
        ({"warm_up": -0.1}, "warm_up is -0.1"),
        ({"head_factor": 0.0}, "head_factor is 0.0; it must be above 0"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0; it must not be negative"),
        ({"weight_decay": float("nan")}, "weight_decay is nan"),
    ],
)
def test_bad_settings(settings, problem):
    with pytest.raises(UserError, match=problem):
        toy_config(**settings)


def test_a_run_that_diverged_goes_on_with_a_lower_rate(dataset, tmp_path, monkeypatch):
    """As its message says: the state before, and the new learning rate from there on."""
    output, rates = tmp_path / "x.safetensors", []
    config = toy_config(PhaseConfig(6, 2, 2, 1e-3, freeze_norm=True), save_minutes=1e-9, head_factor=10.0)
    predict = SegmentationModule._predict

    def poisoned(lesson, frames):
        found = predict(lesson, frames)
        return replace(found, logits=found.logits * float("nan")) if lesson.global_step == 3 else found

    monkeypatch.setattr(SegmentationModule, "_predict", poisoned)
    with pytest.raises(UserError, match=r"the loss is nan at step 4 .*lower its learning_rate and go on with --resume"):
        run(config, output)
    assert torch.load(tmp_path / "x.run/phase1/state.ckpt")["global_step"] == 3
    monkeypatch.undo()
    monkeypatch.setenv("VIDSEG_DATA", str(dataset.parent))
    watch = lambda lesson, *_: rates.append(  # noqa: E731
        (lesson.global_step, *(group["lr"] for group in lesson.trainer.optimizers[0].param_groups))
    )
    monkeypatch.setattr(SegmentationModule, "on_train_batch_end", watch)
    lower = replace(config, phases=(replace(config.phases[0], learning_rate=1e-4),))
    run(lower, output, resume=True)
    assert [step for step, *_ in rates] == [4, 5, 6]
    for step, *found in rates:
        share = pace(step, 6, lower)
        assert found == pytest.approx([1e-4 * share, 1e-3 * share])
    assert json.loads((tmp_path / "x.run/config.json").read_text())["phases"][0]["learning_rate"] == 1e-4


def test_only_learning_rates_may_change(tmp_path):
    config, output = toy_config(), tmp_path / "x.safetensors"
    RunFolder(output, config, resume=False)
    RunFolder(output, toy_config(PhaseConfig(3, 2, 2, 1e-9)), resume=True)
    for other in (toy_config(seed=5), toy_config(PhaseConfig(4, 2, 2, 1e-3)), toy_config(head_factor=2.0)):
        with pytest.raises(UserError, match="differs from the config in more than learning rates"):
            RunFolder(output, other, resume=True)


def test_a_run_of_an_earlier_version_goes_on(tmp_path):
    """Its description lacks the settings that are new; they have their defaults."""
    config, output = toy_config(network=NETWORK), tmp_path / "x.safetensors"
    RunFolder(output, config, resume=False)
    path = tmp_path / "x.run/config.json"
    old = json.loads(path.read_text())
    for key in ("optimizer", "momentum", "schedule", "warm_up", "head_factor", "teacher", "flow"):
        del old[key]
    path.write_text(json.dumps(old))
    RunFolder(output, config, resume=True)


def test_the_watch_names_the_first_step():
    watch = DivergenceWatch("all")
    watch.collect(1, "loss", torch.tensor(1.0))
    with pytest.raises(UserError, match="the gradient is inf at step 2 of a phase that trains 'all'"):
        watch.collect(2, "gradient", torch.tensor(float("inf")))
    watch.check()


def test_looking_later_spares_the_weights_and_names_the_step(dataset, tmp_path, monkeypatch):
    """As on a GPU, where reading each loss would wait: the fused optimiser skips the step by itself."""
    monkeypatch.setattr("vidseg_ros.training.divergence.CHECK_EVERY", {"cpu": 4})
    path, problem = [], "the {} is nan at step 2 of a phase that trains 'all'"
    predict = SegmentationModule._predict

    def poisoned(lesson, frames):
        found = predict(lesson, frames)
        return replace(found, logits=found.logits * float("nan")) if lesson.global_step == 1 else found

    def watch(lesson, *_):
        path.append({name: tensor.clone() for name, tensor in lesson.network.state_dict().items()})

    monkeypatch.setattr(SegmentationModule, "_predict", poisoned)
    monkeypatch.setattr(SegmentationModule, "on_train_batch_end", watch)
    start = Checkpoint(tiny_network(), CAMVID)
    for optimizer in ("adamw", "sgd"):
        path.clear()
        config = toy_config(PhaseConfig(9, 2, 2, 1e-3, freeze_norm=True), optimizer=optimizer)
        with pytest.raises(UserError, match=problem.format("loss")):
            run(config, tmp_path / f"{optimizer}.safetensors", start)
        assert len(path) == 3, "the fourth step looks"
        for name, tensor in path[1].items():
            assert torch.equal(tensor, path[0][name]), name
        assert any(not torch.equal(tensor, path[1][name]) for name, tensor in path[2].items())
        assert all(tensor.isfinite().all() for tensor in path[2].values())
    with pytest.raises(UserError, match=problem.format("loss")):
        run(toy_config(PhaseConfig(3, 2, 2, 1e-3)), tmp_path / "end.safetensors", start)
    assert not (tmp_path / "end.safetensors").exists(), "the end looks, too"


def test_a_state_of_one_kind_of_optimizer_goes_on_with_the_other(dataset, tmp_path, monkeypatch):
    """As from a CPU to a GPU and back."""
    output, kinds = tmp_path / "x.safetensors", []

    def stop(lesson, *_):
        kinds.append(lesson.trainer.optimizers[0].param_groups[0]["fused"])
        if len(kinds) in (3, 5):
            raise KeyboardInterrupt

    monkeypatch.setattr(SegmentationModule, "on_train_batch_start", stop)
    config = toy_config(PhaseConfig(6, 2, 2, 1e-3), save_minutes=1e-9)
    for number, every in enumerate(({}, {"cpu": 4}, {})):
        monkeypatch.setattr("vidseg_ros.training.divergence.CHECK_EVERY", every)
        with suppress(KeyboardInterrupt, SystemExit):
            run(config, output, resume=number > 0)
    assert kinds[:5] == [None, None, None, True, True]
    assert output.is_file()

import re
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from test.conftest import CPU, SIZE, tiny_network
from test.training.conftest import NETWORK, toy_config
from vidseg_ros.checkpoints.checkpoint import Checkpoint, load_checkpoint
from vidseg_ros.data.camvid import camvid_frames
from vidseg_ros.data.config import SourceConfig
from vidseg_ros.data.stored import sequences
from vidseg_ros.engines import TorchEngine
from vidseg_ros.errors import UserError
from vidseg_ros.evaluation.evaluator import evaluate
from vidseg_ros.labels import CAMVID
from vidseg_ros.losses import Batch, Output
from vidseg_ros.losses.config import LossConfig
from vidseg_ros.networks import unroll
from vidseg_ros.training.config import PhaseConfig
from vidseg_ros.training.loading import StepSampler, clips_of, loader
from vidseg_ros.training.module import SegmentationModule
from vidseg_ros.training.run import RunFolder, WholeFiles
from vidseg_ros.training.sequences import there_and_back
from vidseg_ros.training.trainer import Hardware, train


def run(config, output, start=None, resume=False, say=lambda line: None):
    return train(config, output, start, Hardware(), say, resume)


def weights(checkpoint):
    return checkpoint.network.state_dict()


def assert_same(first, second):
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], msg=name)


def test_learns_through_all_phases(dataset, tmp_path):
    lines = []
    phases = (
        PhaseConfig(10, 1, 4, 5e-3, "encoder"),
        PhaseConfig(60, 1, 4, 5e-3, "single"),
        PhaseConfig(4, 3, 2, 1e-3, "cell"),
        PhaseConfig(6, 3, 2, 1e-3, freeze_norm=True),
    )
    output = tmp_path / "new" / "toy.safetensors"
    config = toy_config(*phases, validation="toy", validate_every=20)
    result = run(config, output, say=lines.append)
    report = result.about["metrics"]
    assert report["acc"] > 80
    assert set(report) == {"miou", "acc", "cons", "consw", "vc8", "vc16", "per_class"}
    assert lines.pop() == f"wrote {output}"
    titles = {line.split("  ")[0] for line in lines}
    assert titles == {f"phase {number}/4" for number in (1, 2, 3, 4)}
    losses = {(line[6], int(m[1])): float(m[2]) for line in lines if (m := re.search(r"step (\d+)/.*ce (\S+)", line))}
    assert losses["2", 60] < 0.7 * losses["2", 50]
    saved = load_checkpoint(output)
    assert saved.network.config == NETWORK
    assert saved.about["training"]["phases"][2]["trainable"] == "cell"
    assert_same(weights(saved), weights(result))
    assert list((tmp_path / "new/toy.run/tensorboard/phase2").glob("events*"))


def test_same_seed_same_weights(dataset, tmp_path):
    first, second = (run(toy_config(), tmp_path / f"{i}.safetensors") for i in range(2))
    other = run(toy_config(seed=1), tmp_path / "2.safetensors")
    assert_same(weights(first), weights(second))
    assert not torch.equal(weights(first)["head.weight"], weights(other)["head.weight"])


@pytest.mark.parametrize(
    ("trainable", "moves"), [("encoder", ["encoder."]), ("cell", ["cell."]), ("all", ["encoder.", "cell.", "head."])]
)
def test_phases_train_their_part(dataset, tmp_path, trainable, moves):
    phase = PhaseConfig(2, 2, 2, 1e-2, trainable)
    start = Checkpoint(tiny_network("L1b" if trainable != "encoder" else None), CAMVID)
    before = {name: tensor.clone() for name, tensor in weights(start).items()}
    after = weights(run(toy_config(phase), tmp_path / "x.safetensors", start))
    changed = {name for name in after if name in before and not torch.equal(after[name], before[name])}
    for prefix in ("encoder.", "cell.", "head.", "merge."):
        assert any(name.startswith(prefix) for name in changed) == (prefix in moves or trainable == "all")


def test_processes_that_draw_clips_change_nothing(dataset):
    """Also where they estimate flow, which needs OpenCV, which had threads before the fork."""
    config = toy_config(
        data=(SourceConfig("toy"), SourceConfig("toy", stills=False)), loss=LossConfig(lambda_temporal=1)
    )
    clips = clips_of(config, config.phases[0], CAMVID, 0)
    assert clips[0][2].shape == (1, 2, SIZE[1], SIZE[0])
    alone, helped = (list(loader(clips, StepSampler(lambda: 0, 4, 2), n)) for n in (0, 2))
    for mine, theirs in zip(alone, helped, strict=True):
        assert all(torch.equal(*parts) for parts in zip(mine, theirs, strict=True))


def test_frozen_norms_keep_their_statistics(dataset, tmp_path):
    start = Checkpoint(tiny_network(), CAMVID)
    phase = PhaseConfig(2, 2, 2, 1e-2, freeze_norm=True)
    after = weights(run(toy_config(phase, validation="toy", validate_every=1), tmp_path / "x.safetensors", start))
    for name, tensor in weights(start).items():
        if "running" in name:
            assert torch.equal(tensor, after[name])


def test_best_by_validation(dataset, tmp_path):
    """A learning rate that ruins the network: the best is an early one, the last is what it says."""
    phase = PhaseConfig(30, 1, 4, 3e-2, "single")
    lines = []
    best = run(toy_config(phase, validation="toy", validate_every=3), tmp_path / "best.safetensors", say=lines.append)
    seen = [float(m[1]) for line in lines if (m := re.search(r"miou (\S+)", line))]
    assert len(seen) == 10
    assert best.about["metrics"]["miou"] == max(seen)
    last_config = toy_config(phase, validation="toy", validate_every=3, monitor="")
    last = run(last_config, tmp_path / "last.safetensors")
    assert last.about["steps"] == 30
    assert last.about["metrics"]["miou"] == seen[-1]


def test_the_running_mean_is_judged_and_kept(dataset, tmp_path, monkeypatch):
    """Against a mean by hand of the weights behind each step; training itself goes on from the last ones."""

    def train_and_watch(name, average):
        path = []
        watch = lambda lesson, *_: path.append({k: v.clone() for k, v in lesson.network.state_dict().items()})  # noqa: E731
        monkeypatch.setattr(SegmentationModule, "on_train_batch_end", watch)
        phase = PhaseConfig(5, 1, 4, 1e-2, "single", freeze_norm=True)
        config = toy_config(phase, validation="toy", validate_every=2, monitor="", ema_decay=average)
        return run(config, tmp_path / f"{name}.safetensors"), path

    plain, straight = train_and_watch("plain", 0.0)
    averaged, path = train_and_watch("averaged", 0.8)
    assert len(path) == 5
    for free, judged_between in zip(straight, path, strict=True):
        assert_same(free, judged_between)
    assert_same(weights(plain), path[-1])
    mean = path[0]
    for step in path[1:]:
        mean = {k: 0.8 * mean[k] + 0.2 * v if v.is_floating_point() else v for k, v in step.items()}
    assert_same(weights(averaged), mean)
    report = evaluate(TorchEngine(averaged, CPU), sequences(camvid_frames(dataset)))
    assert {name: report[name] for name in averaged.about["metrics"]} == averaged.about["metrics"]


def test_steps_share_batches_among_processes():
    whole = list(StepSampler(lambda: 2, 5, 4))
    assert whole == [[8, 9, 10, 11], [12, 13, 14, 15], [16, 17, 18, 19]]
    parts = [list(StepSampler(lambda: 2, 5, 4, rank, 2)) for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == whole


def test_a_batch_that_processes_cannot_share_is_refused(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("vidseg_ros.training.trainer._trainer", lambda *about: SimpleNamespace(world_size=3))
    with pytest.raises(UserError, match=r"^phases.batch is 2, which 3 processes cannot share evenly; use a multiple$"):
        run(toy_config(PhaseConfig(1, 1, 2, 1e-3, "single")), tmp_path / "x.safetensors")


@pytest.mark.parametrize("rate", [1e30, 1e12])
def test_bad_loss_stops_and_says_where(dataset, tmp_path, rate):
    config = toy_config(PhaseConfig(50, 2, 1, rate))
    problem = r"the (loss|gradient) is (nan|inf) at step \d+ of a phase that trains 'all'; lower its learning_rate"
    with pytest.raises(UserError, match=problem):
        run(config, tmp_path / "x.safetensors")


def test_nan_never_reaches_the_weights(dataset, tmp_path, monkeypatch):
    """The loss is finite, its gradient is not: what was saved before stays good."""
    seen = {}

    def poisoned(objective, batch, output, teacher=None):
        seen["lesson step"] = len(seen)
        logits = output.logits
        total = (logits * 0).sum() + (0 * logits.sum()).sqrt()  # the gradient of the root at 0 is infinite
        return {"total": total, "ce": total, "incons": total}

    monkeypatch.setattr("vidseg_ros.training.module.Objective.forward", poisoned)
    start = Checkpoint(tiny_network(), CAMVID)
    with pytest.raises(UserError, match="the gradient is nan at step 1 "):
        run(toy_config(), tmp_path / "x.safetensors", start)
    assert all(torch.isfinite(tensor).all() for tensor in weights(start).values())


def test_full_disk_keeps_the_state_before(tmp_path, monkeypatch):
    path = tmp_path / "state.ckpt"
    WholeFiles().save_checkpoint({"step": 1}, path)

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile._TemporaryFileWrapper.write", full, raising=False)
    with pytest.raises(UserError, match=r"cannot write '.*state\.ckpt': No space left on device"):
        WholeFiles().save_checkpoint({"step": 2}, path)
    monkeypatch.undo()
    assert torch.load(path) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["state.ckpt"]


def test_unwritable_output_is_said_before_training(dataset):
    with pytest.raises(UserError, match="cannot write"):
        run(toy_config(), dataset / "frames" / "s_00030.png" / "x")


def test_runs_are_not_overwritten(dataset, tmp_path):
    output = tmp_path / "x.safetensors"
    RunFolder(output, toy_config(), resume=False)
    with pytest.raises(UserError, match=r"'.*x\.run' holds a run; go on with --resume, or remove it"):
        run(toy_config(), output)
    with pytest.raises(
        UserError, match="differs from the config in more than learning rates; resume with the same config"
    ):
        run(toy_config(seed=5), output, resume=True)


def test_only_bf16_on_a_cpu_avoids_channels_last(dataset, tmp_path):
    """Its weight gradient of dilated convolutions is wrong in PyTorch 2.13; in the layout used it is right."""
    torch.manual_seed(0)
    x = torch.randn(2, 13, 24, 32)
    gradients = []
    for mixed in (False, True):
        torch.manual_seed(1)
        layer = nn.Conv2d(13, 13, 3, padding=4, dilation=4, bias=False)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            layer(x).float().square().mean().backward()
        gradients.append(layer.weight.grad)
    error = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    assert error < 0.02
    config = toy_config(PhaseConfig(3, 1, 2, 1e-3, "single"), precision="bf16-mixed")
    assert weights(run(config, tmp_path / "x.safetensors"))["head.weight"].isfinite().all()


def test_validation_is_what_evaluate_says(dataset, tmp_path):
    output = tmp_path / "x.safetensors"
    result = run(toy_config(validation="toy", validate_every=2), output)
    report = evaluate(TorchEngine(load_checkpoint(output), CPU), sequences(camvid_frames(dataset)))
    assert {name: report[name] for name in result.about["metrics"]} == result.about["metrics"]


def test_every_second_step_starts_in_the_midst_of_a_stream(monkeypatch):
    assert there_and_back(7, 3) == [1, 2, 1, 0, 1, 2, 1]
    phase = PhaseConfig(4, 3, 1, 1e-3, burn_in=3)
    network = tiny_network("L1b").eval()
    lesson = SegmentationModule(network, CAMVID, toy_config(phase), phase, torch.ones(11))
    frames, labels = torch.rand(3, 2, 3, 32, 48) * 255, torch.zeros(3, 2, 32, 48)
    for step, before, roll in ((0, [], 0), (1, [1, 2, 1], 0), (2, [], 0), (3, [1, 2, 1], 1)):
        monkeypatch.setattr(SegmentationModule, "global_step", step)
        logits = lesson._predict(Batch(frames, labels)).logits
        past = frames[before].roll(roll, 1)
        expected, _ = unroll(network, torch.cat([past, frames]))
        torch.testing.assert_close(logits, expected[len(before) :])
        assert logits.requires_grad


def test_a_lonely_clip_never_begins_as_its_own_neighbour(monkeypatch):
    phase = PhaseConfig(4, 3, 1, 1e-3, burn_in=3)
    network = tiny_network("L1b").eval()
    lesson = SegmentationModule(network, CAMVID, toy_config(phase), phase, torch.ones(11))
    frames = torch.rand(3, 1, 3, 32, 48) * 255
    monkeypatch.setattr(SegmentationModule, "global_step", 3)
    logits = lesson._predict(Batch(frames, torch.zeros(3, 1, 32, 48))).logits
    torch.testing.assert_close(logits, unroll(network, frames)[0])


def test_it_is_judged_in_float32_whatever_the_training_runs_in():
    lesson = SegmentationModule(tiny_network(None), CAMVID, toy_config(), PhaseConfig(1, 1, 1, 1.0), torch.ones(11))
    lesson.validation, seen = [[]], []
    lesson.judge = SimpleNamespace(run=lambda sequence: seen.append(torch.is_autocast_enabled("cpu")))
    with torch.autocast("cpu", torch.bfloat16):
        lesson.validation_step(0, 0)
    assert seen == [False]


def test_encoder_phase_has_labels_at_its_resolution():
    network = tiny_network(None)
    lesson = SegmentationModule(network, CAMVID, toy_config(), PhaseConfig(1, 1, 1, 1.0, "encoder"), torch.ones(11))
    labels = torch.arange(11, dtype=torch.uint8).repeat(64, 9)[None, None, :, :96]
    batch = Batch(torch.zeros(1, 1, 3, 64, 96), labels)
    logits = lesson._predict(batch).logits
    assert logits.shape == (1, 1, 11, 8, 12)
    expected = lesson.objective(Batch(torch.zeros(1, 1, 3, 8, 12), labels[:, :, ::8, ::8]), Output(logits))
    for name, value in lesson.objective(batch, Output(logits)).items():
        assert value == expected[name]


def test_training_with_the_temporal_loss(dataset, tmp_path, monkeypatch):
    """On stills and the street together, in all kinds of phases; it changes what is learned."""
    monkeypatch.setattr("vidseg_ros.data.mixture.COUNTED_DRIVES", 4)
    phases = PhaseConfig(1, 2, 2, 1e-3, "encoder"), PhaseConfig(1, 1, 2, 1e-3, "single"), PhaseConfig(2, 3, 2, 1e-3)
    data = SourceConfig("toy"), SourceConfig("street")
    lines = []
    results = [
        run(toy_config(*phases, data=data, loss=loss), tmp_path / f"{number}.safetensors", say=lines.append)
        for number, loss in enumerate((LossConfig(), LossConfig(lambda_temporal=0.1)))
    ]
    assert not torch.equal(*(weights(result)["head.weight"] for result in results))
    assert ["temporal" in line for line in lines if "total" in line] == [False] * 3 + [True] * 3


def test_the_temporal_loss_on_video_and_stills(dataset, tmp_path, monkeypatch):
    """One clip knows its flow, the other has it estimated, and a third has none: they are one batch."""
    monkeypatch.setattr("vidseg_ros.data.mixture.COUNTED_DRIVES", 4)
    data = (
        SourceConfig("toy"),
        SourceConfig("toy", stills=False),
        SourceConfig("toy", stills=False, estimate_flow=False),
    )
    lines = []
    config = toy_config(PhaseConfig(3, 2, 6, 1e-3), data=data, loss=LossConfig(lambda_temporal=0.1))
    run(config, tmp_path / "x.safetensors", say=lines.append)
    (line,) = [line for line in lines if "total" in line]
    assert float(line.split("temporal ")[1].split()[0]) > 0

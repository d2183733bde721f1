"""Training as users run it: killed and resumed, over two processes, and with bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from test.training.conftest import NETWORK, toy_config
from vidseg_ros.checkpoints.checkpoint import Checkpoint, load_checkpoint
from vidseg_ros.cli.main import main
from vidseg_ros.labels import CAMVID, LabelSet
from vidseg_ros.networks import build
from vidseg_ros.networks.espnet import ESPNetConfig
from vidseg_ros.training.config import PhaseConfig
from vidseg_ros.training.trainer import Hardware, train

TOY = """
network: {p: 1, q: 1, cell: {state_size: [8, 12]}, input: {size: [96, 64]}}
data: [{source: toy}]
augmentation: {shadows: 0, occluders: 0}
save_minutes: 0.0001
"""
TWO = ("--standalone", "--nproc-per-node", "2")
PHASE = "phases: [{steps: %d, clip_length: 2, batch: 2, learning_rate: 0.001, freeze_norm: true}]\n"


def vidseg(*arguments, launcher=(sys.executable, "-m", "vidseg_ros"), **options):
    return subprocess.Popen([*launcher, *map(str, arguments)], text=True, stdout=subprocess.PIPE, **options)


@pytest.fixture
def toy(dataset, tmp_path):
    def write(steps):
        path = tmp_path / "toy.yaml"
        path.write_text(TOY + PHASE % steps)
        return path

    return write


def started(*arguments, file, **options):
    """Start training, and wait until it has written ``file``."""
    process = vidseg("train", *arguments, "--device", "cpu", stderr=subprocess.PIPE, **options)
    deadline = time.monotonic() + 120
    while not file.is_file():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_one_line_and_the_run_goes_on(number, code, toy, tmp_path, capsys):
    config, output = toy(400), tmp_path / "x.safetensors"
    state = tmp_path / "x.run/phase1/state.ckpt"
    process = started(config, output, file=state)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (code, "vidseg train was interrupted; go on with --resume\n")
    assert not output.exists()
    step = torch.load(state)["global_step"]
    assert 0 < step < 400
    shorter = toy(step + 2)
    description = json.loads((tmp_path / "x.run/config.json").read_text())
    description["phases"][0]["steps"] = step + 2
    (tmp_path / "x.run/config.json").write_text(json.dumps(description))
    assert main(["train", str(shorter), str(output), "--resume", "--device", "cpu"]) == 0
    assert load_checkpoint(output).about["steps"] == step + 2


def test_a_signal_to_all_processes_is_one_line(toy, tmp_path):
    """As by timeout(1): those that draw clips end at once, which PyTorch takes for an error."""
    output = tmp_path / "x.safetensors"
    state = tmp_path / "x.run/phase1/state.ckpt"
    process = started(toy(400), output, "--workers", "2", file=state, start_new_session=True)
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (143, "vidseg train was interrupted; go on with --resume\n")


def test_a_process_that_draws_clips_and_is_killed_is_one_line(toy, tmp_path):
    """As where memory is short."""
    output = tmp_path / "x.safetensors"
    process = started(toy(400), output, "--workers", "1", file=tmp_path / "x.run/phase1/state.ckpt")
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2 and said.count("\n") == 1, said
    assert said.startswith("vidseg train: a process that draws clips has ended (") and "--resume" in said


def test_a_killed_run_goes_on_as_if_nothing_had_happened(toy, tmp_path):
    config, output, whole = toy(40), tmp_path / "killed.safetensors", tmp_path / "whole.safetensors"
    config.write_text(config.read_text() + "ema_decay: 0.9\n")
    state = tmp_path / "killed.run/phase1/state.ckpt"
    process = started(config, output, file=state)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not output.exists(), "it was killed in time"
    step = torch.load(state)["global_step"]
    assert 0 < step < 40
    for arguments in (
        (output, "--resume"),
        (whole,),
    ):  # processes, too: another number of threads adds in another order
        later = vidseg("train", config, *arguments, "--device", "cpu")
        later.communicate()
        assert later.returncode == 0
    resumed, straight = load_checkpoint(output).network.state_dict(), load_checkpoint(whole).network.state_dict()
    for name, tensor in straight.items():
        assert torch.equal(resumed[name], tensor), name


def test_two_processes_learn_what_one_does(toy, dataset, tmp_path):
    """Alike but for the mean: each process takes the mean over its own pixels."""
    for kind in ("frames", "labels"):  # one sequence is left: one process has nothing to validate
        (dataset / kind / "s_00090.png").unlink()
    config = toy(12)
    config.write_text(config.read_text() + "validation: toy\nvalidate_every: 5\n")
    start = tmp_path / "start.safetensors"
    torch.manual_seed(0)
    Checkpoint(build(NETWORK), CAMVID).save(start)
    launcher = (sys.executable, "-m", "torch.distributed.run", *TWO, "-m", "vidseg_ros")
    both = vidseg(
        "train", config, tmp_path / "two.safetensors", "--weights", start, "--device", "cpu", launcher=launcher
    )
    text, _ = both.communicate(timeout=240)
    assert both.returncode == 0
    assert text.count("wrote ") == 1, "one process speaks"
    lines = []
    phase = PhaseConfig(12, 2, 2, 1e-3, freeze_norm=True)
    settings = toy_config(phase, save_minutes=0.0001, validation="toy", validate_every=5)
    one = train(settings, tmp_path / "one.safetensors", load_checkpoint(start), Hardware(), lines.append)
    two = load_checkpoint(tmp_path / "two.safetensors")
    loss = [float(line.split("total ")[1].split()[0]) for line in (text, "\n".join(lines))]
    assert loss[0] == pytest.approx(loss[1], rel=0.02)
    begin = load_checkpoint(start).network.state_dict()
    for name, tensor in one.network.state_dict().items():
        other, first = two.network.state_dict()[name], begin[name]
        if tensor.dtype.is_floating_point and (tensor - first).norm() > 0:
            assert (tensor - other).norm() < 0.5 * (tensor - first).norm(), name


def test_verbs_train_and_evaluate(toy, tmp_path, capsys):
    output, figures = tmp_path / "toy.safetensors", tmp_path / "toy.json"
    assert main(["train", str(toy(2)), str(output), "--device", "cpu"]) == 0
    assert main(["evaluate", str(output), "toy", "--json", str(figures)]) == 0
    report = json.loads(figures.read_text())
    assert set(report) == {
        "miou", "acc", "cons", "consw", "vc8", "vc16", "per_class", "frames", "checkpoint", "dataset",
        "tc", "tc_visible", "trajectory", "trajectory_bounded", "flicker", "flicker_per_class", "stride", "about",
    }  # fmt: skip
    assert report["frames"] == 4
    assert report["cons"] is not None
    assert report["vc8"] is None  # the longest sequence has three frames
    capsys.readouterr()


def test_verbs_say_in_one_line_what_is_wrong(dataset, tmp_path, checkpoint_file, capsys):
    def config(name, text):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    good = TOY + PHASE % 1
    foreign = tmp_path / "garden.safetensors"
    garden = LabelSet("garden", tuple("abcd"), ((0, 0, 0),) * 4)
    Checkpoint(build(ESPNetConfig(classes=4, p=0, q=0)), garden).save(foreign)
    (tmp_path / "datasets/none/frames").mkdir(parents=True)
    out = str(tmp_path / "x.safetensors")
    cases = {
        ("evaluate", str(foreign), "toy"): "class 'sky' of 'camvid' labels has no counterpart in 'garden'",
        ("evaluate", str(checkpoint_file), "toy", "--json", "/proc/nowhere/x.json"): "cannot write",
        ("evaluate", "/no/such.safetensors", "toy"): "does not exist",
        ("evaluate", str(checkpoint_file), "nowhere"): "does not exist",
        ("evaluate", str(checkpoint_file), "none"): "holds no images",
        ("evaluate", str(checkpoint_file), "toy", "--device", "tpu9"): "device 'tpu9' is not here",
        ("train", str(checkpoint_file), out): "not valid YAML",
        ("train", config("empty.yaml", ""), out): "network is missing in TrainConfig",
        ("train", config("key.yaml", good.replace("steps", "stepps")), out): "did you mean 'phases.steps'",
        ("train", config("type.yaml", good.replace("0.001", "fast")), out): "learning_rate is 'fast'; expected float",
        (
            "train",
            config("trainable.yaml", good.replace("batch", "trainable: head, batch")),
            out,
        ): "use one of encoder, single",
        ("train", config("labels.yaml", good + "labels: kitti\n"), out): "label set 'kitti' does not exist",
        ("train", config("split.yaml", good.replace("source: toy", "source: none")), out): "holds no images",
        ("train", config("one.yaml", good.replace("toy}", "toy, stills: false}").replace("h: 2,", "h: 9,")), out): (
            "has no 9 consecutive frames"
        ),
        ("train", config("monitor.yaml", good + "monitor: iou\n"), out): "monitor is 'iou'; use one of",
        ("train", "/no/such.yaml", out): "cannot read config",
        ("import-weights", "/no/such.pth", out): "does not exist",
    }
    for arguments, problem in cases.items():
        assert main(list(arguments)) == 2, arguments
        error = capsys.readouterr().err
        assert problem in error
        assert error.count("\n") == 1
        subprocess.run(["rm", "-rf", str(tmp_path / "x.run")], check=True)


@pytest.mark.parametrize(("what", "workers"), [("frames", 0), ("labels", 0), ("labels", 1)])
def test_a_broken_file_is_named(toy, dataset, tmp_path, what, workers, capsys, monkeypatch):
    monkeypatch.setattr(
        "vidseg_ros.training.trainer.class_frequency", lambda dataset, classes, labelled: np.ones(classes)
    )
    path = dataset / what / "s_00032.png"
    path.write_bytes(path.read_bytes()[:100])
    assert (
        main(["train", str(toy(9)), str(tmp_path / "x.safetensors"), "--device", "cpu", "--workers", str(workers)]) == 2
    )
    error = capsys.readouterr().err
    assert f"{path}'; it is missing or damaged" in error and "Traceback" not in error


def test_training_without_lightning_says_how_to_get_it(toy, tmp_path):
    code = (
        "import sys; sys.modules['lightning'] = None;from vidseg_ros.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "train", str(toy(1)), str(tmp_path / "x.safetensors")],
        capture_output=True, text=True, check=False, env=os.environ,
    )  # fmt: skip
    assert run.returncode == 2
    assert "pip install 'vidseg_ros[train]'" in run.stderr
    assert run.stderr.count("\n") == 1

from dataclasses import replace

import pytest
import torch

from test.conftest import tiny_network
from vidseg_ros.checkpoints.averaging import average
from vidseg_ros.checkpoints.checkpoint import Checkpoint, InferenceConfig, load_checkpoint
from vidseg_ros.cli.main import main
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID, LabelSet
from vidseg_ros.networks.flow_memory import FlowMemoryConfig


def trained(seed, **about):
    return Checkpoint(tiny_network(seed=seed), CAMVID, about)


def test_every_weight_and_statistic_is_the_mean():
    checkpoints = [trained(seed) for seed in range(3)]
    checkpoints[2].network.encoder.norm3.norm.running_mean.fill_(6.0)
    states = [checkpoint.network.state_dict() for checkpoint in checkpoints]
    mean = average(checkpoints).network.state_dict()
    assert mean.keys() == states[0].keys()
    for name, tensor in mean.items():
        expected = (states[0][name] + states[1][name] + states[2][name]) / 3
        torch.testing.assert_close(tensor, expected if tensor.is_floating_point() else states[0][name])
    assert (mean["encoder.norm3.0.running_mean"] == 2.0).all()


def test_the_parts_stay_as_they_are_and_are_told():
    first, second = trained(0, steps=100), trained(1, steps=60)
    before = {name: tensor.clone() for name, tensor in first.network.state_dict().items()}
    mean = average([first, second])
    assert mean.about == {"average_of": [{"steps": 100}, {"steps": 60}]}
    assert mean.labels == CAMVID
    assert not mean.network.training
    for name, tensor in first.network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_the_hysteresis_is_that_of_the_first(checkpoint):
    checkpoint = replace(checkpoint, inference=InferenceConfig(hysteresis=0.5))
    assert average([checkpoint, trained(1)]).inference.hysteresis == 0.5


def test_other_networks_and_labels_are_refused():
    with pytest.raises(UserError, match="checkpoint 2 has another network than the first; average trainings"):
        average([trained(0), Checkpoint(tiny_network("L1d"), CAMVID)])
    others = LabelSet("others", tuple("abcdefghijk"), ((0, 0, 0),) * 11)
    with pytest.raises(UserError, match="checkpoint 3 has label set 'others', the first 'camvid'; average"):
        average([trained(0), trained(1), Checkpoint(tiny_network(), others)])


def test_the_verb_writes_it(tmp_path, capsys):
    files = [tmp_path / f"{seed}.safetensors" for seed in range(2)]
    for seed, file in enumerate(files):
        trained(seed).save(file)
    output = tmp_path / "mean.safetensors"
    assert main(["average", *map(str, files), str(files[1]), str(output)]) == 0  # the second counts twice
    first, second = (load_checkpoint(file).network.cell.h0 for file in files)
    torch.testing.assert_close(load_checkpoint(output).network.cell.h0, (first + 2 * second) / 3)
    assert "3 trainings" in capsys.readouterr().out


def test_the_verb_sets_what_the_file_asks_for(tmp_path):
    file, output = tmp_path / "one.safetensors", tmp_path / "flowing.safetensors"
    trained(0).save(file)
    words = ["--memory", "flow", "--hysteresis", "0.25", "--gain", "0.6"]
    assert main(["average", str(file), str(output), *words]) == 0
    expected = InferenceConfig(0.25, "flow", flow_memory=FlowMemoryConfig(gain=0.6))
    assert load_checkpoint(output).inference == expected
    assert load_checkpoint(output).about == load_checkpoint(file).about
    again = tmp_path / "again.safetensors"
    assert main(["average", str(output), str(again), "--hysteresis", "0"]) == 0
    assert load_checkpoint(again).inference == replace(expected, hysteresis=0.0)
    assert main(["average", str(file), str(tmp_path / "no.safetensors"), "--gain", "2"]) == 2


@pytest.mark.parametrize("missing", ["average", "nowhere.safetensors"])
def test_the_verb_names_what_is_wrong(tmp_path, missing, capsys):
    output = tmp_path / "mean.safetensors"
    assert main(["average", missing, str(output)]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert not output.exists()

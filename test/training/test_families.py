"""Every family of networks trains, as ``vidseg train`` does it, from random weights."""

from dataclasses import replace

import pytest
import torch

from test.conftest import SIZE
from test.training.conftest import toy_config
from vidseg_ros.networks import build
from vidseg_ros.networks.config import InputConfig
from vidseg_ros.networks.pspnet import PSPNetConfig
from vidseg_ros.networks.registry import NETWORKS
from vidseg_ros.training.config import PhaseConfig
from vidseg_ros.training.trainer import Hardware, train

INPUT = InputConfig(SIZE)
FAMILIES = {family().name: family(input=INPUT) for family in NETWORKS}
FAMILIES["pspnet on mobilenetv2"] = PSPNetConfig(input=INPUT, backbone="mobilenetv2")


@pytest.mark.parametrize("name", FAMILIES)
def test_two_steps(dataset, tmp_path, name):
    config = toy_config(
        PhaseConfig(2, 1, 2, 1e-3, "single"), network=FAMILIES[name], validation="toy", validate_every=2
    )
    result = train(config, tmp_path / "x.safetensors", None, Hardware(), lambda line: None)
    assert 0 <= result.about["metrics"]["acc"] <= 100
    torch.manual_seed(config.seed)
    before = build(FAMILIES[name]).state_dict()
    moved = [key for key, value in result.network.named_parameters() if not torch.equal(value, before[key])]
    assert len(moved) > 0.9 * len(list(result.network.parameters()))


def test_an_auxiliary_head_that_does_not_count_stays(dataset, tmp_path):
    config = toy_config(PhaseConfig(1, 1, 2, 1e-3), network=FAMILIES["pspnet on mobilenetv2"])
    config = replace(config, loss=replace(config.loss, lambda_auxiliary=0.0))
    result = train(config, tmp_path / "x.safetensors", None, Hardware(), lambda line: None)
    torch.manual_seed(config.seed)
    before = build(config.network).state_dict()
    for key, value in result.network.named_parameters():
        assert torch.equal(value, before[key]) == key.startswith("auxiliary."), key


def test_the_encoder_of_pspnet_trains_alone(dataset, tmp_path):
    config = toy_config(PhaseConfig(1, 1, 2, 1e-3, "encoder"), network=FAMILIES["pspnet on mobilenetv2"])
    result = train(config, tmp_path / "x.safetensors", None, Hardware(), lambda line: None)
    torch.manual_seed(config.seed)
    before = build(config.network).state_dict()
    for key, value in result.network.named_parameters():
        assert torch.equal(value, before[key]) != key.startswith("encoder."), key

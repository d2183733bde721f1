"""Training what remembers along the flow: on exact and estimated flow, alone and with the network."""

from dataclasses import replace

import pytest
import torch

from test.conftest import tiny_network
from test.training.conftest import NETWORK, toy_config
from vidseg_ros.checkpoints.checkpoint import Checkpoint, load_checkpoint
from vidseg_ros.data.config import SourceConfig
from vidseg_ros.errors import UserError
from vidseg_ros.labels import CAMVID, IGNORE
from vidseg_ros.losses import Batch
from vidseg_ros.networks.config import CellConfig
from vidseg_ros.networks.gated_flow import GatedFlowConfig
from vidseg_ros.networks.stgru import STGRUConfig
from vidseg_ros.schema import load_yaml
from vidseg_ros.training.config import PhaseConfig, TrainConfig
from vidseg_ros.training.sequences import flow_along, last_only
from vidseg_ros.training.trainer import Hardware, train

LAST = PhaseConfig(3, 3, 2, 1e-2, "propagation", betas=(0.95, 0.99), supervise="last", freeze_norm=True)
KINDS = {"stgru": STGRUConfig(kernel=3), "gated_flow": GatedFlowConfig()}


def run(config, output, start=None):
    lines = []
    return train(config, output, start, Hardware(), lines.append), lines


@pytest.mark.parametrize("flow", ["exact", "estimated"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_static_network_stays_as_it_is(dataset, tmp_path, kind, flow):
    """And is judged through a stream that brings the flow; the result can be read."""
    network = replace(NETWORK, cell=None, propagation=KINDS[kind])
    start = Checkpoint(tiny_network(None), CAMVID)
    config = toy_config(LAST, network=network, flow=flow, validation="toy")
    result, _ = run(config, tmp_path / "x.safetensors", start)
    before, after = start.network.state_dict(), result.network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    new = {name for name in after if name not in before}
    assert all(name.startswith("propagation.") for name in new)
    assert result.about["metrics"]["miou"] is not None
    read = load_checkpoint(tmp_path / "x.safetensors")
    assert read.network.config == network
    assert all(torch.equal(read.network.state_dict()[name], tensor) for name, tensor in after.items())


def test_what_was_learned_differs_from_the_start(dataset, tmp_path):
    """After enough steps that the zero weights of the gate have moved; video has estimated flow."""
    network = replace(NETWORK, cell=None, propagation=STGRUConfig(kernel=3))
    config = toy_config(LAST, network=network, data=(SourceConfig("toy", stills=False),))
    after = [run(replace(config, phases=phases), tmp_path / f"{len(phases)}.safetensors")[0] for phases in ((LAST,),)]
    phase = replace(LAST, trainable="all", burn_in=2)
    refined, _ = run(replace(config, phases=(LAST, phase)), tmp_path / "all.safetensors")
    for prefix in ("encoder.", "propagation."):
        moved = [
            not torch.equal(tensor, refined.network.state_dict()[name])
            for name, tensor in after[0].network.state_dict().items()
            if name.startswith(prefix) and tensor.is_floating_point()
        ]
        assert any(moved)


def test_a_warped_cell_trains_with_a_memory_that_is_filled_before(dataset, tmp_path):
    network = replace(NETWORK, cell=CellConfig(state_size=(8, 12), warped=True))
    result, lines = run(
        toy_config(PhaseConfig(4, 3, 2, 1e-3, "cell", burn_in=3), network=network), tmp_path / "x.safetensors"
    )
    assert result.network.needs_flow
    assert lines


def test_flow_along_an_order_of_frames():
    """Steps there and back through a clip of three frames; each flow is named by where it comes from and goes to."""

    def named(pairs):
        return torch.stack([torch.full((1, 2, 1, 1), 10.0 * a + b) for a, b in pairs])

    frames = torch.zeros(3, 1, 3, 1, 1)
    batch = Batch(frames, frames[:, :, 0], named([(0, 1), (1, 2)]), named([(1, 0), (2, 1)]))
    flow = flow_along(batch, [1, 2, 1, 0, 1, 2])
    assert flow[:, 0, 0, 0, 0].tolist() == [0, 21, 12, 1, 10, 21]
    assert flow_along(replace(batch, backward=None), [0, 1]) is None


def test_only_the_last_labels_count():
    labels = torch.arange(6, dtype=torch.uint8).view(3, 1, 1, 2)
    assert last_only(labels).flatten().tolist() == [IGNORE] * 4 + [4, 5]


def test_bad_settings_are_named():
    with pytest.raises(UserError, match=r"the network has none; give network\.propagation"):
        toy_config(LAST)
    with pytest.raises(UserError, match="flow is 'seen'; use one of exact, estimated"):
        toy_config(memory_flow="seen")
    for settings, words in (
        ({"betas": (0.9, 1.0)}, r"phases.betas are \(0.9, 1.0\)"),
        ({"supervise": "first"}, "phases.supervise is 'first'; use one of all, last"),
    ):
        with pytest.raises(UserError, match=words):
            replace(LAST, **settings)


@pytest.mark.parametrize(("name", "kind"), [("stgru_camvid", STGRUConfig()), ("gated_flow_camvid", GatedFlowConfig())])
def test_committed_configurations(pytestconfig, name, kind):
    config = load_yaml(pytestconfig.rootpath / "config" / "train" / f"{name}.yaml", TrainConfig)
    assert config.network.propagation == kind
    assert config.memory_flow == "estimated"

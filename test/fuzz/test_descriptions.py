"""Checkpoints, official files, configurations and journals, whole, edited and damaged: what they say, or one line."""

import copy
import io
import json

import pytest
import torch
import yaml
from hypothesis import strategies as st
from safetensors.torch import save

from test.conftest import tiny_network
from test.fuzz.drawing import PLAIN, damages, edits, fuzz, refusing
from vidseg_ros.checkpoints.checkpoint import METADATA_KEY, Checkpoint, load_checkpoint
from vidseg_ros.checkpoints.importing import import_weights
from vidseg_ros.data.recorded_scenes import SceneConfig
from vidseg_ros.engines.config import EngineConfig
from vidseg_ros.labels import CAMVID, LabelSet
from vidseg_ros.networks.config import NetworkConfig
from vidseg_ros.replay.config import ReplayConfig
from vidseg_ros.replay.journal import Entry, Journal
from vidseg_ros.schema import from_dict, load_yaml
from vidseg_ros.simulation.street_world import StreetWorldConfig
from vidseg_ros.training.config import TrainConfig

CONFIGS = (TrainConfig, SceneConfig, EngineConfig, ReplayConfig, NetworkConfig, LabelSet, StreetWorldConfig)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A checkpoint: its bytes, its header and its tensors."""
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    network = tiny_network()
    Checkpoint(network, CAMVID).save(path)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return data, json.loads(json.loads(data[8 : 8 + length])["__metadata__"][METADATA_KEY]), network.state_dict()


@fuzz(damage=damages())
def test_damaged_checkpoints(written, tmp_path_factory, damage):
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    path.write_bytes(damage(written[0]))
    with refusing():
        load_checkpoint(path)


@fuzz(share=2.0, edit=edits())
def test_edited_checkpoints(written, tmp_path_factory, edit):
    _, header, tensors = written
    path = tmp_path_factory.getbasetemp() / "edited.safetensors"
    path.write_bytes(save(tensors, {METADATA_KEY: json.dumps(edit(copy.deepcopy(header)))}))
    with refusing():
        load_checkpoint(path)


CHANGES = {
    "none": lambda t: t,
    "half": lambda t: t.half(),
    "nan": lambda t: torch.full_like(t, float("nan")) if t.is_floating_point() else t,
    "flat": lambda t: t.flatten(),
    "more": lambda t: torch.cat([t.reshape(1, -1)] * 2),
    "int": lambda t: t.to(torch.int32),
    "empty": lambda t: t.flatten()[:0],
}


@fuzz(number=st.integers(0, 100), change=st.sampled_from(sorted(CHANGES)), gone=st.booleans())
def test_tensors_of_another_kind(written, tmp_path_factory, number, change, gone):
    _, header, tensors = written
    names = list(tensors)
    name = names[number % len(names)]
    changed = {key: value for key, value in tensors.items() if not (gone and key == name)}
    if name in changed:
        changed[name] = CHANGES[change](tensors[name]).contiguous()
    path = tmp_path_factory.getbasetemp() / "other.safetensors"
    path.write_bytes(save(changed, {METADATA_KEY: json.dumps(header)}))
    with refusing():
        load_checkpoint(path)


@fuzz(share=0.5, damage=damages(), zipped=st.booleans())
def test_damaged_official_files(written, tmp_path_factory, damage, zipped):
    buffer = io.BytesIO()
    torch.save({"model_state": written[2]}, buffer, _use_new_zipfile_serialization=zipped)
    path = tmp_path_factory.getbasetemp() / "official.pth"
    path.write_bytes(damage(buffer.getvalue()))
    with refusing():
        import_weights(path)


@pytest.fixture(scope="module")
def configurations(pytestconfig):
    return [
        yaml.safe_load(path.read_text()) for path in sorted((pytestconfig.rootpath / "config/train").glob("*.yaml"))
    ]


@fuzz(share=3.0, number=st.integers(0, 30), edit=edits())
def test_edited_configurations(configurations, tmp_path_factory, number, edit):
    data = edit(copy.deepcopy(configurations[number % len(configurations)]))
    path = tmp_path_factory.getbasetemp() / "config.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=False))
    with refusing():
        load_yaml(path, TrainConfig)


@fuzz(share=0.5, number=st.integers(0, 30), damage=damages())
def test_damaged_configurations(configurations, tmp_path_factory, number, damage):
    path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    path.write_bytes(damage(yaml.safe_dump(configurations[number % len(configurations)]).encode()))
    with refusing():
        load_yaml(path, TrainConfig)


@fuzz(
    share=3.0,
    kind=st.sampled_from(CONFIGS),
    data=st.dictionaries(st.text(max_size=6), PLAIN, max_size=3),
    known=st.lists(st.tuples(st.integers(0, 30), PLAIN), max_size=4),
)
def test_any_values_of_configurations(kind, data, known):
    names = list(kind.__dataclass_fields__)
    with refusing():
        from_dict(kind, data | {names[number % len(names)]: value for number, value in known})


@fuzz(damage=damages(), state=damages())
def test_damaged_journals(tmp_path_factory, damage, state):
    """What a killed replay left is taken up as far as it is whole."""
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder)
    entry = Entry(torch.zeros(4, 6, dtype=torch.uint8).numpy(), "", 1.0)
    for _ in range(51):
        journal.append(entry, (torch.zeros(1, 2),))
    journal.close()
    for path, change in zip(sorted(folder.iterdir()), (damage, state), strict=True):
        path.write_bytes(change(path.read_bytes()))
    with refusing():
        again = Journal(folder)
        assert len(list(again.replay())) <= 51
        again.close()

import re

import pytest

from vidseg_ros.data.recorded_scenes import SceneConfig
from vidseg_ros.errors import UserError
from vidseg_ros.networks.config import CellConfig, NetworkConfig
from vidseg_ros.networks.espnet import ESPNetConfig
from vidseg_ros.schema import from_dict, load_yaml, parse_json
from vidseg_ros.stream import StreamConfig
from vidseg_ros.training.config import TrainConfig


def test_nested_values_and_defaults():
    config = from_dict(
        NetworkConfig, {"classes": 19, "cell": {"kernel": 5, "state_size": [2, 3]}, "input": {"scale": 1}}
    )
    assert config == ESPNetConfig(classes=19, cell=CellConfig(kernel=5, state_size=(2, 3)))
    assert isinstance(config.input.scale, float)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"clases": 11}, "unknown key 'clases'; did you mean 'classes'"),
        ({"cell": {"kernal": 5}}, "'cell.kernal'; did you mean 'cell.kernel'"),
        ({"classes": "11"}, "classes is '11'; expected int"),
        ({"classes": True}, "classes is True; expected int"),
        ({"classes": 0}, "classes is 0; it must be above 0"),
        ({"cell": {"kernel": 4}}, "kernel is 4; use an odd number"),
        ({"cell": {"state_size": 3}}, "cell.state_size is 3; expected a list"),
        ({"cell": {"state_size": [1, 2, 3]}}, "has 3 values; expected 2"),
        ({"input": {"std": [0, 1, 1]}}, "input.std is 0"),
        ({"q": -1}, "q is -1; it must be from 0 to 100"),
        ([], "expected keys and values"),
    ],
)
def test_bad_values_are_named(data, message):
    with pytest.raises(UserError, match=message.replace("[", r"\[")):
        from_dict(NetworkConfig, data)


def test_stream_config():
    with pytest.raises(UserError, match="max_gap is 0"):
        StreamConfig(max_gap=0)
    with pytest.raises(UserError, match="at least 16"):
        StreamConfig(size=(8, 8))


def test_yaml_errors(tmp_path):
    with pytest.raises(UserError, match="cannot read config"):
        load_yaml(tmp_path / "none.yaml", NetworkConfig)


@pytest.mark.parametrize(
    "text",
    ["a: [", "a: 2024-13-45", "a: 0b_", "[" * 10_000, "!!bool x", '!!int ""', "!!timestamp x", "\0", "? {a: 1}\n: 2"],
)
def test_what_is_no_yaml_is_one_line(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"config '.*bad.yaml' is not valid YAML: "):
        load_yaml(path, NetworkConfig)


LAUGHS = "\n".join(f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'ha'] * 9)}]" for n in range(9))


@pytest.mark.parametrize("text", ["classes: &x [*x]", f"classes:\n{LAUGHS}", "classes: 0x" + "f" * 9999])
def test_a_value_beyond_any_line_is_shown_in_part(tmp_path, text):
    path = tmp_path / "large.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_yaml(path, NetworkConfig)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, b"\xff"])
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError):
        parse_json(text)


def test_committed_training_configs_load(pytestconfig):
    files = list((pytestconfig.rootpath / "config" / "train").glob("*.yaml"))
    assert len(files) > 5
    for file in files:
        config = load_yaml(file, TrainConfig)
        assert config.network.classes == 11
        assert (config.network.cell is not None) == ("l1b" in file.stem)


PHASE = {"steps": 1, "clip_length": 1, "batch": 1, "learning_rate": 0.1}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"phases": []}, "phases is empty; give at least one"),
        ({"data": []}, "data is empty; give at least one"),
        ({"data": [{"source": "street", "share": 0}]}, "the shares of data sum to 0"),
        ({"data": [{"source": "street", "share": -1}]}, "data.share is -1"),
        ({"data": [{"sauce": "street"}]}, "unknown key 'data.sauce'; did you mean 'data.source'"),
        ({"phases": [PHASE | {"trainable": "cell"}]}, "a phase trains the cell, and the network has none"),
        ({"phases": [PHASE | {"steps": 0}]}, "phases.steps is 0; it must be above 0"),
        ({"phases": [PHASE | {"steps": 1.5}]}, "phases.steps is 1.5; expected int"),
        (
            {"phases": [PHASE | {"burn_in": 4}]},
            "phases.burn_in is 4; give a number of frames, with a clip_length above 1",
        ),
        ({"precision": "8"}, "precision is '8'; use one of 32-true, bf16-mixed, 16-mixed"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0; give a decay per step from 0 (none) to below 1, such as 0.99"),
        ({"loss": {"difference": "cubed"}}, "loss.difference is 'cubed'; use one of squared, absolute"),
        ({"loss": {"compared": "some"}}, "loss.compared is 'some'; use one of label, all"),
        ({"loss": {"dilation": -1}}, "loss.dilation is -1; it must not be negative"),
        (
            {"augmentation": {"zoom_range": [2.0, 1.0]}},
            "augmentation.zoom_range is (2.0, 1.0); give two rising numbers",
        ),
        ({"augmentation": {"noise": -1.0}}, "augmentation.noise is -1.0; it must not be negative"),
        ({"save_minutes": 0}, "save_minutes is 0"),
        ({"monitor": "consw"}, "monitor is 'consw'; use one of"),
    ],
)
def test_bad_training_settings_are_named(data, message):
    good = {"network": {}, "phases": [PHASE], "data": [{"source": "street"}]}
    assert from_dict(TrainConfig, good).loss.lambda_incons == 10
    with pytest.raises(UserError, match=re.escape(message)):
        from_dict(TrainConfig, good | data)


def test_a_number_without_a_point_is_a_number(tmp_path):
    (tmp_path / "c.yaml").write_text("fps: 1e-3\n")
    assert load_yaml(tmp_path / "c.yaml", SceneConfig).fps == 0.001
    (tmp_path / "c.yaml").write_text("fps: 2E+1\n")
    assert load_yaml(tmp_path / "c.yaml", SceneConfig).fps == 20.0
    (tmp_path / "c.yaml").write_text("fps: 1e\n")
    with pytest.raises(UserError, match="fps is '1e'; expected float"):
        load_yaml(tmp_path / "c.yaml", SceneConfig)


def test_classes_are_those_of_the_label_set():
    with pytest.raises(
        UserError, match=r"network.classes is 11, and label set 'cityscapes' has 19; give both the same"
    ):
        from_dict(
            TrainConfig,
            {"network": {"classes": 11}, "phases": [PHASE], "data": [{"source": "street"}]} | {"labels": "cityscapes"},
        )

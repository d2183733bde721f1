import pytest

from vidseg_ros.config import CellConfig, NetworkConfig, StreamConfig, TrainConfig, from_dict, load_yaml
from vidseg_ros.errors import UserError


def test_nested_values_and_defaults():
    config = from_dict(
        NetworkConfig, {"classes": 19, "cell": {"kernel": 5, "state_size": [2, 3]}, "input": {"scale": 1}}
    )
    assert config == NetworkConfig(classes=19, cell=CellConfig(kernel=5, state_size=(2, 3)))
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
        ({"cell": {"position": "L2"}}, "'L2'; use one of L1a"),
        ({"cell": {"state_size": [1, 2, 3]}}, "has 3 values; expected 2"),
        ({"input": {"std": [0, 1, 1]}}, "input.std is 0"),
        ({"q": -1}, "must not be negative"),
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
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(UserError, match="not valid YAML"):
        load_yaml(tmp_path / "bad.yaml", NetworkConfig)


@pytest.mark.parametrize("name", ["espnet_camvid", "espnet_l1b_camvid"])
def test_committed_training_configs_load(pytestconfig, name):
    config = load_yaml(pytestconfig.rootpath / "config" / "train" / f"{name}.yaml", TrainConfig)
    assert config.network.classes == 11
    assert (config.network.cell is not None) == ("l1b" in name)

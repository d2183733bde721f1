from test.networks.released import difference, load, parameters, sizes
from vidseg_ros.networks._renames import FDDWNET
from vidseg_ros.networks.fddwnet import FDDWNet


def test_released_weights_give_the_released_logits():
    network = load(FDDWNet, "fddwnet", FDDWNET)
    assert parameters(network) == 773_682
    logits, labels = difference(network, "fddwnet")
    assert logits < 1e-4
    assert labels > 0.9999


def test_any_size():
    assert sizes(FDDWNet, (64, 96), (45, 61), (33, 32)) == [(5, 64, 96), (5, 45, 61), (5, 33, 32)]

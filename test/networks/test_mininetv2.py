from test.networks.released import difference, load, parameters, sizes
from vidseg_ros.networks._renames import MININETV2
from vidseg_ros.networks.mininetv2 import MiniNetV2


def test_released_weights_give_the_released_logits():
    network = load(MiniNetV2, "mininetv2", MININETV2)
    assert parameters(network) == 507_243
    logits, labels = difference(network, "mininetv2")
    assert logits < 1e-4
    assert labels > 0.9999


def test_any_size():
    assert sizes(MiniNetV2, (64, 96), (45, 61), (33, 32)) == [(5, 64, 96), (5, 45, 61), (5, 33, 32)]

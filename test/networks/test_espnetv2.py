from test.networks.released import difference, load, parameters, sizes
from vidseg_ros.networks._renames import ESPNETV2
from vidseg_ros.networks.espnetv2 import ESPNetV2


def test_released_weights_give_the_released_logits():
    network = load(ESPNetV2, "espnetv2", ESPNETV2)
    assert parameters(network) == 862_032
    logits, labels = difference(network, "espnetv2")
    assert logits < 1e-4
    assert labels > 0.9999


def test_any_size():
    assert sizes(ESPNetV2, (64, 96), (45, 61), (33, 32)) == [(5, 64, 96), (5, 45, 61), (5, 33, 32)]

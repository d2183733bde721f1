from test.networks.released import difference, load, parameters, sizes
from vidseg_ros.networks._renames import CFPNET
from vidseg_ros.networks.cfpnet import CFPNet


def test_released_weights_give_the_released_logits():
    network = load(CFPNet, "cfpnet", CFPNET)
    assert parameters(network) == 272_167
    logits, labels = difference(network, "cfpnet")
    assert logits < 1e-4
    assert labels > 0.9999


def test_any_size():
    assert sizes(CFPNet, (64, 96), (45, 61), (33, 32)) == [(5, 64, 96), (5, 45, 61), (5, 33, 32)]

from test.networks.released import difference, load, parameters, sizes
from vidseg_ros.networks._renames import DABNET
from vidseg_ros.networks.dabnet import DABNet


def test_released_weights_give_the_released_logits():
    network = load(DABNet, "dabnet", DABNET)
    assert parameters(network) == 750_269
    logits, labels = difference(network, "dabnet")
    assert logits < 1e-4
    assert labels > 0.9999


def test_any_size():
    assert sizes(DABNet, (64, 96), (45, 61), (33, 32)) == [(5, 64, 96), (5, 45, 61), (5, 33, 32)]

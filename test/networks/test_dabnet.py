from test.networks.released import ReleasedNetworkTester
from vidseg_ros.networks.dabnet import DABNetConfig


class TestDABNet(ReleasedNetworkTester):
    config = DABNetConfig(classes=5)
    parameters = 750_269
    release = "dabnet_crop-1024_800epoch.pth"

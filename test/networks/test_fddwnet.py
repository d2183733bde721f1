from test.networks.released import ReleasedNetworkTester
from vidseg_ros.networks.fddwnet import FDDWNetConfig


class TestFDDWNet(ReleasedNetworkTester):
    config = FDDWNetConfig(classes=5)
    parameters = 773_682
    positions = (None, "deep", "output")  # it ships
    release = "fddwnet_crop-1024_800epoch.pth"

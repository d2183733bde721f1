from test.networks.released import ReleasedNetworkTester
from vidseg_ros.networks.cfpnet import CFPNetConfig


class TestCFPNet(ReleasedNetworkTester):
    config = CFPNetConfig(classes=5)
    parameters = 272_167
    release = "cfpnet_crop-1024_800epoch.pth"

"""SSNet and VSSNet (F2F paper, section 3.1): dilated 3x3 convolutions at full resolution."""

from __future__ import annotations

from torch import Tensor, nn

from vidseg_ros.networks.blocks import NormPReLU, conv
from vidseg_ros.networks.config import NetworkConfig
from vidseg_ros.networks.convlstm import ConvLSTM
from vidseg_ros.networks.streaming import State, StreamingNetwork
from vidseg_ros.schema import require_one_of

CHANNELS = 64
DILATIONS = (1, 1, 2, 2, 4)  # of the features; the classifier has LAST_DILATION
LAST_DILATION = 4


class SSNet(StreamingNetwork):
    """Six convolutions; ``config.cell`` at position ``last`` replaces the last one and makes it VSSNet.

    The paper names dilations and channels; batch norm and PReLU are those of ESPNet.
    """

    features_channels = CHANNELS

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        layers: list[nn.Module] = []
        for number, dilation in enumerate(DILATIONS):
            layers += [conv(CHANNELS if number else 3, CHANNELS, 3, dilation=dilation), NormPReLU(CHANNELS)]
        self.encoder = nn.Sequential(*layers)
        if config.cell:
            require_one_of("cell.position", config.cell.position, ("last",))
            self.cell = ConvLSTM(CHANNELS, config.classes, config.cell)
        else:
            self.classifier = nn.Conv2d(CHANNELS, config.classes, 3, padding="same", dilation=LAST_DILATION)

    def features(self, frame: Tensor) -> Tensor:
        return self.encoder(self.normalize(frame))  # type: ignore[no-any-return]

    def forward(self, frame: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        features = self.features(frame)
        if self.cell is None:
            return self.classifier(features), ()
        return self.cell(features, state)  # type: ignore[no-any-return]

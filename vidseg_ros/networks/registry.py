"""From a configuration to a network."""

from __future__ import annotations

from vidseg_ros.networks.config import NetworkConfig
from vidseg_ros.networks.espnet import ESPNet
from vidseg_ros.networks.ssnet import SSNet
from vidseg_ros.networks.streaming import StreamingNetwork
from vidseg_ros.schema import require_one_of

NETWORKS: dict[str, type[StreamingNetwork]] = {"espnet": ESPNet, "ssnet": SSNet}


def build(config: NetworkConfig) -> StreamingNetwork:
    """Build the network that ``config`` describes, with fresh weights."""
    require_one_of("network.name", config.name, NETWORKS)
    return NETWORKS[config.name](config)

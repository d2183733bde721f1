"""The families of networks: a line each."""

from __future__ import annotations

from vidseg_ros.networks.cfpnet import CFPNet, CFPNetConfig
from vidseg_ros.networks.config import NetworkConfig, PropagationConfig
from vidseg_ros.networks.dabnet import DABNet, DABNetConfig
from vidseg_ros.networks.espnet import ESPNet, ESPNetConfig
from vidseg_ros.networks.espnetv2 import ESPNetV2, ESPNetV2Config
from vidseg_ros.networks.fddwnet import FDDWNet, FDDWNetConfig
from vidseg_ros.networks.gated_flow import GatedFlow, GatedFlowConfig
from vidseg_ros.networks.hrnet import HRNet, HRNetConfig
from vidseg_ros.networks.mininetv2 import MiniNetV2, MiniNetV2Config
from vidseg_ros.networks.propagation import Propagation
from vidseg_ros.networks.pspnet import PSPNet, PSPNetConfig
from vidseg_ros.networks.ssnet import SSNet, SSNetConfig
from vidseg_ros.networks.stgru import STGRU, STGRUConfig
from vidseg_ros.networks.streaming import StreamingNetwork
from vidseg_ros.schema import tagged_union

NETWORKS: dict[type[NetworkConfig], type[StreamingNetwork]] = {
    CFPNetConfig: CFPNet,
    DABNetConfig: DABNet,
    ESPNetConfig: ESPNet,
    ESPNetV2Config: ESPNetV2,
    FDDWNetConfig: FDDWNet,
    HRNetConfig: HRNet,
    MiniNetV2Config: MiniNetV2,
    PSPNetConfig: PSPNet,
    SSNetConfig: SSNet,
}

tagged_union(NetworkConfig, "name", ESPNetConfig, NETWORKS)
tagged_union(PropagationConfig, "name", STGRUConfig, (STGRUConfig, GatedFlowConfig))


def build(config: NetworkConfig) -> StreamingNetwork:
    """Build the network that ``config`` describes, with fresh weights."""
    network = NETWORKS[type(config)](config)
    network.propagation = _propagation(network)
    return network


def _propagation(network: StreamingNetwork) -> Propagation | None:
    """What remembers along the flow around the head of ``network`` or behind it, if its configuration says so."""
    kind = network.config.propagation
    if isinstance(kind, STGRUConfig):
        return STGRU(network.config.classes, kind)
    if isinstance(kind, GatedFlowConfig):
        return GatedFlow(network.head_channels, network.head.scale, kind)
    return None

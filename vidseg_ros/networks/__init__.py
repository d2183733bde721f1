"""Streaming networks: pure PyTorch modules with ``logits, state = network(frame, state)``."""

from vidseg_ros.networks.memory import State
from vidseg_ros.networks.registry import build
from vidseg_ros.networks.streaming import StreamingNetwork, unroll

__all__ = ["State", "StreamingNetwork", "build", "unroll"]

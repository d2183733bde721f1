"""Streaming networks: pure PyTorch modules with ``logits, state = network(frame, state)``."""

from vidseg_ros.networks.registry import build
from vidseg_ros.networks.streaming import State, StreamingNetwork, unroll

__all__ = ["State", "StreamingNetwork", "build", "unroll"]

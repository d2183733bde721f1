"""Clips for training and evaluation, and where they come from."""

from vidseg_ros.data.clip import Clip

__all__ = ["Clip"]

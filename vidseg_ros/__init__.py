"""Temporally consistent semantic segmentation for ROS 2."""

import os

__version__ = "0.1.0"

# Threads of OpenMP that wait for each other spin, by default (300,000 turns) for so long that beside another busy
# process PyTorch takes ten times as long. Less costs little where the machine is quiet (docs/results.md).
os.environ.setdefault("GOMP_SPINCOUNT", "5000")

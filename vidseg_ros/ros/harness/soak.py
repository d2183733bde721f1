"""What must stay as it is however long a node works: memory, threads and open files, round after round."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.lifecycle import TransitionCallbackReturn

from vidseg_ros.errors import UserError
from vidseg_ros.ros.harness.process import Resources, resources
from vidseg_ros.ros.segmentation.node import SegmentationNode


def lifecycle_rounds(node: SegmentationNode, rounds: int, flow: Callable[[], None]) -> list[Resources]:
    """Configure, activate, let frames ``flow``, deactivate and clean up, again and again.

    Returns what this process holds after each round. Raises UserError where a transition fails.
    """
    held = []
    for number in range(rounds):
        for name in ("configure", "activate", "deactivate", "cleanup"):
            if getattr(node, f"trigger_{name}")() != TransitionCallbackReturn.SUCCESS:
                raise UserError(f"{name} failed in round {number}; see the log of the node")
            if name == "activate":
                flow()
        held.append(resources())
    return held

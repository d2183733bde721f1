"""A DDS transport that loses no large image."""

from __future__ import annotations

import os
from pathlib import Path

PROFILE = Path(__file__).with_name("fastdds.xml")
LARGE_PROFILE = Path(__file__).with_name("fastdds_large.xml")
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS")
SHARED_MEMORY = "/dev/shm"
ROOM = 1 << 30  # bytes of shared memory that must be free for segments of 96 MB: it holds those of ten processes
ADVICE = "above 0.5 MB its publisher needs config/fastdds.xml, above 12 MB config/fastdds_large.xml"
"""What to do where large images are lost: the segment that they pass through belongs to their publisher."""


def use_large_image_transport() -> None:
    """Give this process a large shared-memory segment, unless the user chose a profile; call before rclpy.init()."""
    if not any(os.environ.get(name) for name in PROFILE_VARIABLES):
        os.environ[PROFILE_VARIABLES[0]] = str(find_profile())


def find_profile() -> Path:
    """The profile with the largest segment that shared memory has room for; a larger one fails without a word."""
    try:
        memory = os.statvfs(SHARED_MEMORY)
    except OSError:
        return PROFILE
    return LARGE_PROFILE if memory.f_bavail * memory.f_frsize >= ROOM else PROFILE

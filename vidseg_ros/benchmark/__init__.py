"""How fast engines are, side by side, and the floor of the machine."""

from vidseg_ros.benchmark.case import Case, with_engine
from vidseg_ros.benchmark.machine import machine_floor, multiply_adds, multiply_adds_of
from vidseg_ros.benchmark.runner import UNTUNED, compare
from vidseg_ros.benchmark.serving import memory_mb, pictures, serve

__all__ = [
    "UNTUNED",
    "Case",
    "compare",
    "machine_floor",
    "memory_mb",
    "multiply_adds",
    "multiply_adds_of",
    "pictures",
    "serve",
    "with_engine",
]

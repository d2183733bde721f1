"""Measure how fast the street world renders, as docs/carla.md states it: ``python docs/rendering.py``."""

import time

import cv2

from vidseg_ros.simulation.street_world import StreetWorld, StreetWorldConfig

RUNS, FRAMES = 10, 20


def seconds(world, first):
    """Return the CPU time of a frame, over FRAMES of them."""
    start = time.process_time()
    for index in range(first, first + FRAMES):
        world.frame(index)
    return (time.process_time() - start) / FRAMES


def main():
    """Print frames a second: the best of RUNS, as others at work on a machine only slow it down."""
    cv2.setNumThreads(1)
    config = StreetWorldConfig()
    world = StreetWorld(config)
    best = min(seconds(world, FRAMES * run) for run in range(RUNS))
    print(f"{config.width}x{config.height}, one thread: {1 / best:.0f} frames/s of CPU time")


if __name__ == "__main__":
    main()

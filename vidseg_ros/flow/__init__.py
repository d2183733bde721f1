"""Optical flow between frames: estimated, exact or learned, and what follows it."""

"""Plays images to the real node in a process of its own and takes its answers: demo, benchmark and tests."""

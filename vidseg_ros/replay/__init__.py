"""Replay: recordings through checkpoints, offline, frame by frame, and what there is to say about the result."""

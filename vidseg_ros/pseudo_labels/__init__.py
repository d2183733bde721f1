"""Pseudo labels: what a teacher is sure of becomes the truth of training, as in the F2F paper."""

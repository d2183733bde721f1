"""Nodes around driving: driver, evaluator, simulator."""

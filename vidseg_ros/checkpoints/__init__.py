"""Networks with their weights on disk."""

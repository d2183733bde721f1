"""Training of streaming networks."""

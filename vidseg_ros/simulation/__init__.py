"""Built-in worlds that make video with exact labels and exact optical flow."""

"""How good the labels of a stream are, and how sure that is."""

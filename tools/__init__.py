"""Scripts that measure what the documents state, draw their pictures and write results.md."""

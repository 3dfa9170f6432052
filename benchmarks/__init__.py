"""Benchmarks: each figure is a ratio against a peer measured in the same run, the median of interleaved pairs."""

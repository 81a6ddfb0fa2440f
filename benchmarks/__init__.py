"""Workloads beside their peers, as ratios. ``python -m benchmarks --help``."""

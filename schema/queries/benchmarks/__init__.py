"""Benchmarks, their iterations and their results."""

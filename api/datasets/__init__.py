"""Datasets of questions, and benchmarks of quality over them."""

"""Clients of every kind: late, slow, and the packages that people use."""

"""Clients that others made, unchanged, against a running headrace: `./headrace clients`."""

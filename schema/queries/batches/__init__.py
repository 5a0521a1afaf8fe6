"""Batches of requests, and their lines."""

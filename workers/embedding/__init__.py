"""Embedding: workers have the models, other processes ask them over Redis."""

"""Embedding: workers hold the models; other processes send them requests over Redis."""

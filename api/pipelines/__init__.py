"""Pipelines: managed, drawn and run."""

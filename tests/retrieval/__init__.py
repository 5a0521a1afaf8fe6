"""The labelled set for searches, and how they are measured: `python -m tests.retrieval`."""

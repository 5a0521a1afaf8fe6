"""The labelled set for searches, and what measures them: `python -m tests.retrieval`."""

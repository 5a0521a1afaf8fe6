"""The labelled set for the router, and what measures it: `python -m tests.routing`."""

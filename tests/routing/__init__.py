"""The labelled set for the router, and how it is measured: `python -m tests.routing`."""

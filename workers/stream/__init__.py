"""A job's events on their way: published by the relay, followed by readers."""

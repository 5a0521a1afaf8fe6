"""Redis: a connection class, and a pipelining client built on it."""

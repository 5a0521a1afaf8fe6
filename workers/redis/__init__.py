"""Redis: one connection class, a pipelining client on it."""

"""Redis: its address, a connection class, a pipelining client built on it, and the sentinels that know the master."""

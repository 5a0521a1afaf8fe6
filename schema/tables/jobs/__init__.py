"""Jobs, and what an attempt leaves for the next one."""

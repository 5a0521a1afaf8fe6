"""How jobs end: with the attempt that runs, or without one."""

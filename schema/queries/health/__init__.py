"""The parts of the installation: what the watchdog reads of them, what it found, and whom it tells."""

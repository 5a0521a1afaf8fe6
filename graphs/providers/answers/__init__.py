"""What vendors send, read with tolerance: one layer for all protocols, between their bytes and our deltas."""

"""Model providers: one contract, and an implementation for each protocol."""

"""Bodies of requests: how large they may be, how they are decoded, what is said about those that are wrong."""

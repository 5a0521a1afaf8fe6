"""Sessions, and what is learned from them."""

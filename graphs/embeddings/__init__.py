"""Texts to vectors on this machine, and one place that opens any embedder, local or a vendor's, by its name."""

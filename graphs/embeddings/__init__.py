"""Embeddings: local engines, and one place that opens any embedder, local or a vendor's, by its name."""

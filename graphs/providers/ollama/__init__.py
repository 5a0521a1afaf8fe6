"""Ollama, over its own protocol."""

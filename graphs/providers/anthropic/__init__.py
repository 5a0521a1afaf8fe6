"""Anthropic, over its own protocol. Read `provider.py` first."""

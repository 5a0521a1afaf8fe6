"""The built-in tools: one file each with a `build()`, listed in `tools/registry.py`."""

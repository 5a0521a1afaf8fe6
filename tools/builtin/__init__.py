"""The tools that headrace brings along: one file each with a `build()`, listed in `tools/registry.py`."""

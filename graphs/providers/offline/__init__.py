"""The rules of `offline/extractive`, a noun a file; `graphs/providers/offline/provider.py` lists them in words."""

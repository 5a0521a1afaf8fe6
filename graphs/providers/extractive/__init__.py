"""The rules of `offline/extractive`, a noun a file; `graphs/providers/offline.py` lists them in words."""

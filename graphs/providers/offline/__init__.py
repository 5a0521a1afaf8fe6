"""The model `offline/extractive`; `provider.py` lists all of its rules, the other files implement them."""

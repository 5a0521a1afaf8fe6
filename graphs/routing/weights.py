"""The fitted weights of `scoring.py`, in the order of its features, as printed by `python -m tests.routing fit`."""

LEXICAL_WEIGHTS = (8.36, 2.90, 2.01, 0.85, -0.44, 0.58, -1.12, -0.90)
SEMANTIC_WEIGHTS = (8.33, 1.78, 0.36, 0.70, -0.70, 2.43, -1.78, -0.12, 7.15, -2.40, -3.15)

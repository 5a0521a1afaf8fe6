"""The fitted weights of `scoring.py`, in the order of its features. Printed by `python -m tests.routing fit`."""

BY_WORDS = (8.63, 3.15, 1.95, 1.06, -0.47, 0.65, -1.37, -1.09)
BY_MEANING = (8.51, 1.45, 0.35, 0.71, -0.73, 2.42, -1.86, -0.19, 7.08, -2.40, -3.11)

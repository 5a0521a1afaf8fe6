"""The fitted weights of `scoring.py`, in the order of its features. Printed by `python -m tests.routing fit`."""

BY_WORDS = (8.65, 3.44, 1.82, 1.31, -0.54, 0.42, -1.07, -1.15)
BY_MEANING = (8.50, 1.52, 0.23, 0.65, -0.76, 2.28, -1.44, -1.02, 6.48, -2.58, -2.84)

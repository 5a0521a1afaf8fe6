"""The fitted weights of `scoring.py`, in the order of its features. Printed by `python -m tests.routing fit`."""

BY_WORDS = (7.37, 3.30, 1.86, 1.29, -0.61, 0.71, -1.94, -1.29)
BY_MEANING = (7.84, 1.61, 0.29, 0.97, -0.76, 2.28, -1.40, -1.32, 6.17, -1.93, -2.91)

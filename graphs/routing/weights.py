"""The fitted weights of `scoring.py`, in the order of its features, as printed by `python -m tests.routing fit`."""

LEXICAL_WEIGHTS = (7.27, 0.35, 0.55, 0.80, 0.59, 0.00, 1.97, 0.00, -1.76, 2.09, 0.83, 0.52, 2.12, 2.54, 1.35, 1.09, 3.04, -1.27, 1.81, 0.86, 1.93, 1.61, 2.64, 0.00, 3.46)  # fmt: skip  # noqa: E501
SEMANTIC_WEIGHTS = (5.23, -0.18, -1.34, -0.05, 0.64, 2.74, 3.59, 2.17, -0.15, 2.23, 1.04, 1.87, 1.70, 1.70, 0.95, 0.65, 1.79, -1.56, 0.17, 0.51, 1.12, 1.34, 1.09, 2.24, 3.79)  # fmt: skip  # noqa: E501

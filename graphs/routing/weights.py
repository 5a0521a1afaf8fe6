"""The fitted weights of `scoring.py`, in the order of its features, as printed by `python -m tests.routing fit`."""

LEXICAL_WEIGHTS = (7.26, 0.54, 1.07, 1.96, 0.50, 0.00, -0.62, 0.00, -2.77, 2.53, 1.73, 0.33, 2.12, 3.98, 1.61, 1.42, 3.52, -1.48, 3.04, -0.02, 1.00, 1.72, 3.62, 0.00, 3.78, 0.70)  # fmt: skip  # noqa: E501
GLANCE_WEIGHTS = (6.23, -0.17, 0.88, 1.35, 0.86, 3.94, -0.59, 0.31, -0.77, 2.76, 1.99, 1.25, 1.52, 1.93, 0.92, 1.20, 2.25, -2.18, 0.39, -0.05, 0.73, 0.70, 1.36, 2.86, 4.14, 3.72)  # fmt: skip  # noqa: E501
SEMANTIC_WEIGHTS = (5.02, -0.67, 0.52, 1.73, 0.71, 5.52, 0.57, 2.50, -0.82, 3.07, 1.57, 1.93, 1.64, 3.54, 1.28, 0.70, 2.04, -2.34, 0.77, 0.78, 0.84, 1.04, 1.10, 3.39, 4.21, 3.43)  # fmt: skip  # noqa: E501

CALIBRATION = (0.89, 0.84)
"""The slope and the shift of a probability's log-odds that make it a confidence, as printed by `… crosswise`: agents and
utterances that no fit has seen are right that often."""

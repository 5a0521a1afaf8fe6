"""The fitted weights of `scoring.py`, in the order of its features, as printed by `python -m tests.routing fit`."""

LEXICAL_WEIGHTS = (7.28, 0.55, 1.07, 1.97, 0.50, 0.00, -0.64, 0.00, -2.76, 2.52, 1.71, 0.34, 2.12, 4.09, 1.63, 1.39, 3.42, -1.53, 3.08, 0.04, 1.00, 1.72, 3.64, 0.00, 3.77, 0.74)  # fmt: skip  # noqa: E501
GLANCE_WEIGHTS = (6.25, -0.21, 0.88, 1.40, 0.85, 3.97, -0.60, 0.24, -0.72, 2.76, 1.94, 1.24, 1.51, 2.03, 0.94, 1.14, 2.23, -2.20, 0.27, 0.02, 0.75, 0.69, 1.35, 2.91, 4.06, 3.70)  # fmt: skip  # noqa: E501
SEMANTIC_WEIGHTS = (5.06, -0.70, 0.52, 1.75, 0.71, 5.50, 0.52, 2.50, -0.77, 2.98, 1.46, 2.07, 1.65, 3.61, 1.31, 0.62, 2.02, -2.36, 0.65, 0.82, 0.85, 1.05, 1.08, 3.40, 4.13, 3.42)  # fmt: skip  # noqa: E501

CALIBRATION = (0.89, 0.84)
"""The slope and the shift of a probability's log-odds that make it a confidence, as printed by `… crosswise`: agents and
utterances that no fit has seen are right that often."""

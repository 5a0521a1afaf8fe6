"""`./headrace bench`: the figures that headrace must reach, each as a ratio to a direct call of the same model stand-in.

`python -m tests.bench [--json FILE] [--quick] [--only NAME] [--profile]`. Begin with `plan.py` (how much is measured) and
`figures.py` (what there is). Nothing here is a timed test: a slow machine prints "short" and ends with status 0.
"""

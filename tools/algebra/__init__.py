"""Computer algebra for the `mathematics` tool: formulas parsed with an allowlist, and SymPy in a child process.

notation.py   2x², sin(x), a=b as people write them → Python syntax
formulas.py   the syntax tree → SymPy, node by node; names and calls that are not on the list are refused
operations.py simplify, solve, differentiate, …

It runs in a child process (`tools/run_sandboxed.py`): the allowlist in formulas.py is one barrier, the sandbox the other.
"""

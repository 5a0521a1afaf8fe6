"""What the mathematics tool computes with: a formula read by an allow-list, and SymPy in a child process of its own.

notation.py   2x², sin(x), a=b as people write them → the tree of a formula
formulas.py   the tree → SymPy, node by node; a name or a call that isn't on the list is refused
operations.py simplify, solve, differentiate, …

It runs in a child process (`tools/run_sandboxed.py`): the allow-list of formulas.py is one wall, the jail the other.
"""

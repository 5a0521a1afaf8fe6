"""What the tool for data computes with: tables from CSV and JSON, and figures about them, with the standard library alone.

reading.py  text → a table of columns and rows
figures.py  statistics of a column, correlations
groups.py   rows chosen, grouped, summed up, sorted

It runs in a child process (`tools/run_sandboxed.py`).
"""

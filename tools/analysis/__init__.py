"""Data analysis for the `analyse_data` tool: tables from CSV and JSON and their statistics, with only the standard library.

table.py              text → a table of columns and rows
column_statistics.py  statistics of a column, correlations
aggregation.py        filtering, grouping, aggregating and sorting rows

It runs in a child process (`tools/run_sandboxed.py`).
"""

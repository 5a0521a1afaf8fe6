"""One file per benchmark, each with a `measure_…` function that `figures.py` lists."""

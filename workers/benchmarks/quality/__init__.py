"""Benchmarks of quality: `items.py` says what a dataset holds, `checks.py` judges answers, `run.py` asks, `summary.py`
adds up."""

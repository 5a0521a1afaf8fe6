"""What a batch job does: `run.py` receives the job, `lines.py` reads its file, `results.py` writes what came of it.

A line is a request to one of this API's routes, so an API process calls that route (`api/batches/line_server.py`); the job
rings for a few lines at a time. `sweep.py` ends batches whose job has ended without them.
"""

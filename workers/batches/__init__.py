"""What a batch job does: `run.py` receives the job, `lines.py` reads its file, `store_lines.py` stores its lines,
`results.py` writes the answers; `context.py` is what they need of their process.

A line is a request to one of this API's routes, so an API process calls that route (`api/batches/line_server.py`); the job
rings for a few lines at a time (`doorbells.py`). `sweep.py` ends batches whose job has ended without them.
"""

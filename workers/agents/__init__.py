"""How a worker runs an agent: `work.py` is where a job comes in; the others give the graphs what they need."""

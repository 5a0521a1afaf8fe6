"""What a benchmark job does: `run.py` receives the job, `plan.py` says in which order what is called, `measure.py` measures one
call of a model of `targets.py`, `statistics.py` adds up. `call_budget.py` keeps it within the tenant's limits, `context.py` is
what it needs of its process. `quality/` judges answers."""

"""What a benchmark job does: `run.py` receives the job, `plan.py` says in which order what is called, `measure.py` measures one
call, `statistics.py` adds up. `call_budget.py` keeps it within the tenant's limits."""

"""Jobs that start by themselves: `cron.py` says when, `template.py` what is submitted, `owners.py` whether it still may be,
`due.py` starts it, `reserve.py`
and `submitting.py` submit it within the tenant's limits. The scheduler runs it (`workers/scheduler.py`)."""

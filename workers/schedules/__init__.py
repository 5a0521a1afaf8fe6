"""Jobs that start by themselves: `cron.py` says when, `template.py` what is submitted, `owners.py` whether it still may be,
`due.py` does it. The scheduler runs it (`workers/scheduler.py`)."""

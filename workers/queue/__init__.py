"""The job queue: submit, dispatch, claim, run, finish; all its moves are compare-and-set in Postgres."""

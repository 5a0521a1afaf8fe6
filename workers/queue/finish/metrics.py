"""Counts what became of an attempt. Called once its end is committed, so the counters agree with what Postgres says."""

from schema.metrics.catalog import COST, FENCED, JOB_RUN, JOBS_FINISHED, RETRIES, TOKENS
from schema.queries.jobs.attempts import ClaimedJob, Ended, Ending

NANOS = 1e9


def count_ended(job: ClaimedJob, ending: Ending, ended: Ended, *, ran_s: float) -> None:
    """Count a job that has ended here, and what was charged for it."""
    JOBS_FINISHED.of(job.kind, ending.state).inc()
    JOB_RUN.of(job.kind, ending.state).observe(ran_s)
    if ending.used:
        TOKENS.of(job.kind, "input").inc(sum(max(0, charge.used.input_tokens) for charge in ending.used))
        TOKENS.of(job.kind, "output").inc(sum(max(0, charge.used.output_tokens) for charge in ending.used))
    if ended.cost_nanos:
        COST.of(job.kind).inc(ended.cost_nanos / NANOS)


def count_retry(job: ClaimedJob, outcome: str) -> None:
    """Count an attempt after which its job was queued again."""
    RETRIES.of(job.kind, outcome).inc()


def count_fenced(job: ClaimedJob) -> None:
    """Count an attempt that a newer one had overtaken."""
    FENCED.of(job.kind).inc()

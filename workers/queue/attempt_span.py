"""The span of one attempt: a part of the trace in which its job was submitted, also when another worker goes on with it.

Its id follows from the job and the attempt's number, so that whoever comes later can name it: the next attempt, which records
it if its worker was killed, and the delivery of a webhook.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import structlog

from graphs.providers.settings import AUTO
from schema.errors import Unavailable
from schema.job_kinds import Kind
from schema.postgres.connections import Pool, tenant_tx
from schema.queries.jobs.attempts import ClaimedJob, Ending
from schema.queries.jobs.jobs import JobAttempt, list_attempts
from schema.tracing import attributes as names
from schema.tracing.ids import attempt_context
from schema.tracing.lost import LostAttempt, forget_lost_attempt, record_lost_attempt
from schema.tracing.spans import Span, current_span, entry_span, recorder
from schema.tracing.traceparent import TraceContext, read_traceparent

log = structlog.get_logger()

OPERATIONS: dict[Kind, str] = {"chat": names.INVOKE_AGENT, "pipeline": names.INVOKE_WORKFLOW}


@asynccontextmanager
async def attempt_span(pool: Pool, job: ClaimedJob) -> AsyncGenerator[Span]:
    """The span of an attempt that was just claimed, for the block. Without tracing, the job's traceparent is handed on."""
    submitted = read_traceparent(job.traceparent or "")
    if recorder() is None:
        with entry_span("", "consumer", parent=submitted) as span:
            yield span
        return
    before = await _attempts_before(pool, job)
    links = [submitted] if submitted is not None else []
    if before:
        links.append(attempt_context(job.id, before[-1].attempt, submitted))
    with entry_span(
        f"attempt {job.kind}",
        "consumer",
        _attributes(job, job.attempt) | {names.WAITED_S: job.waited_s},
        parent=submitted,
        links=links,
        own=attempt_context(job.id, job.attempt, submitted),
        shared=_shared(job),
    ) as span:
        if span.recording and before and before[-1].outcome in (None, "lost"):
            _record_lost(job, before[-1], span, submitted)
        try:
            yield span
        finally:
            forget_lost_attempt()


async def _attempts_before(pool: Pool, job: ClaimedJob) -> Sequence[JobAttempt]:
    if job.is_first:
        return []
    try:
        async with tenant_tx(pool, job.tenant_id) as db:
            return [one for one in await list_attempts(db, job.tenant_id, job.id) if one.attempt < job.attempt]
    except Unavailable:  # the attempt is worth more than its trace
        log.warning("attempts_not_read", job_id=str(job.id))
        return []


def _record_lost(job: ClaimedJob, before: JobAttempt, span: Span, submitted: TraceContext | None) -> None:
    lost = LostAttempt(
        attempt_context(job.id, before.attempt, submitted),
        before.started_at,
        before.ended_at or datetime.now(UTC),
        _shared(job),
    )
    attributes = _attributes(job, before.attempt)
    record_lost_attempt(lost, f"attempt {job.kind}", attributes, parent=submitted, follower=span)


def _shared(job: ClaimedJob) -> dict[str, Any]:
    """Return what all spans of the attempt say."""
    session = None if job.session_id is None else str(job.session_id)
    return {
        names.TENANT: str(job.tenant_id),
        names.JOB: str(job.id),
        names.CONVERSATION: session,
        names.SESSION: session,
    }


def _attributes(job: ClaimedJob, attempt: int) -> dict[str, Any]:
    return {
        names.OPERATION: OPERATIONS.get(job.kind),
        names.AGENT: None if job.agent == AUTO else job.agent,
        names.REQUEST_MODEL: job.model or None,
        names.USER: None if job.user_id is None else str(job.user_id),
        names.REQUEST_ID: job.request_id,
        names.JOB_KIND: job.kind,
        names.ATTEMPT: attempt,
    }


def note_ended(job: ClaimedJob, ending: Ending) -> None:
    """Say in the current span how its attempt ended the job."""
    span = current_span()
    if not span.recording:
        return
    usage = ending.usage or {}
    span.set(
        {
            names.JOB_STATE: ending.state,
            names.AGENT: ending.agent or (None if job.agent == AUTO else job.agent),
            names.INPUT_TOKENS: usage.get("input_tokens"),
            names.OUTPUT_TOKENS: usage.get("output_tokens"),
        }
    )
    if ending.error is not None:
        span.fail(str(ending.error.get("code")))


def note_requeued(outcome: str, code: str) -> None:
    """Say in the current span that its attempt put the job back, and why."""
    span = current_span()
    span.set({names.JOB_STATE: outcome})
    span.fail(code)

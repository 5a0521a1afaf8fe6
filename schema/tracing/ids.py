"""Span ids that are computed from what a span is about (a job's attempt, say), so that another process can compute them again.

A killed worker leaves spans that never end, and so are never sent: what they contained would hang in the air. The next attempt
knows their ids and records them in its stead (`lost.py`); a webhook's delivery knows the attempt that it is due to.
"""

from hashlib import blake2b
from uuid import UUID

from schema.tracing.traceparent import TraceContext


def attempt_context(job_id: UUID, attempt: int, submitted: TraceContext | None) -> TraceContext:
    """Return the place of an attempt's span: in the trace in which the job was submitted, or in a trace of the job's own."""
    trace_id = blake2b(job_id.bytes, digest_size=16, person=b"trace").hexdigest()
    span_id = blake2b(b"%b %d" % (job_id.bytes, attempt), digest_size=8, person=b"attempt").hexdigest()
    if submitted is None:
        return TraceContext(trace_id, span_id)
    return TraceContext(submitted.trace_id, span_id, submitted.sampled)


def child_span_id(parent_span_id: str, key: str) -> str:
    """Return the id of a span that is known by `key` within its parent."""
    return blake2b(f"{parent_span_id} {key}".encode(), digest_size=8, person=b"child").hexdigest()

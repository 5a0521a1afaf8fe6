"""The span of one attempt to deliver a webhook: a part of the trace of the job that it tells of."""

from schema.queries.webhooks.outbox import ClaimedDelivery, OutboxMessage
from schema.tracing import attributes as names
from schema.tracing.ids import attempt_context
from schema.tracing.spans import Span, entry_span
from schema.tracing.traceparent import TraceContext, read_traceparent
from workers.webhooks.send import Answer


def delivery_span(claimed: ClaimedDelivery, message: OutboxMessage) -> Span:
    """Return the span of an attempt that begins."""
    attributes = {
        names.TENANT: str(claimed.tenant_id),
        names.JOB: None if message.job_id is None else str(message.job_id),
        names.DELIVERY: str(claimed.id),
        names.DELIVERY_ATTEMPT: claimed.attempt,
        names.EVENT: message.type,
        names.HTTP_METHOD: "POST",
    }
    return entry_span(f"deliver {message.type}", "client", attributes, parent=_due_to(message))


def _due_to(message: OutboxMessage) -> TraceContext | None:
    """Return the span of the attempt that ended the job; of the submit, if none did."""
    if message.job_id is None or not message.traced:
        return None
    submitted, attempt = read_traceparent(message.traced["traceparent"] or ""), message.traced["attempt"]
    return attempt_context(message.job_id, attempt, submitted) if submitted is not None and attempt else submitted


def note_answer(span: Span, answer: Answer) -> None:
    """Say what the receiver answered."""
    span.set({names.HTTP_STATUS: answer.status})
    if answer.error is not None:
        span.fail(answer.error)

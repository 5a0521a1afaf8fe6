"""The span of one request: within the caller's, if it says which (`traceparent`), up to the end of the response."""

from typing import Any

from schema.tracing import attributes as names
from schema.tracing.spans import Span, entry_span
from schema.tracing.traceparent import TraceContext, read_traceparent

HEADER = b"traceparent"


def request_span(scope: Any, method: str, request_id: str) -> Span:
    """Return the span of a request that begins. It is named when the route is known (`note_response`)."""
    attributes = {names.HTTP_METHOD: method, names.REQUEST_ID: request_id}  # no path: a trigger's is a secret
    return entry_span(method, "server", attributes, parent=_caller(scope["headers"]))


def note_response(span: Span, scope: Any, method: str, route: str, status: int) -> None:
    """Say what was asked for and how it is answered."""
    if not span.recording:
        return
    caller = scope.get("user")
    span.rename(f"{method} {route}")
    tenant_id = None if caller is None else str(caller.tenant_id)
    span.set({names.HTTP_ROUTE: route, names.HTTP_STATUS: status, names.TENANT: tenant_id})
    if status >= 500:
        span.fail(str(status))


def _caller(headers: Any) -> TraceContext | None:
    """Return what the caller says; nothing if it says it twice."""
    said = [value for name, value in headers if name == HEADER]
    return read_traceparent(said[0].decode("latin-1")) if len(said) == 1 else None

"""ASGI middleware around every request: assigns the request id, and adds `/api` to paths without it.

Native routes are registered once, under `/api`. Paths outside the other roots get that prefix here, so the OpenAPI document
lists each route once.
"""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any, cast

from litestar.datastructures import Headers
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from api.http.errors import READING, RETRY_AFTER
from api.http.request_span import note_response, request_span
from api.http.shutdown import Shutdown
from api.http.vendor_formats.encoded_errors import encode_error
from schema.ids import new_id
from schema.metrics.catalog import HTTP_DURATION, HTTP_REQUESTS
from schema.metrics.figures import FIGURES
from schema.tracing.spans import UNTRACED, Span
from workers.logs import RequestLog

log = RequestLog()

ROOTS = frozenset({"", "api", "v1", "health", "metrics", "schema", "console", ".well-known"})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OF_PROBES = ("/health", "/metrics")
"""Routes that are asked every few seconds, and logged only if they fail."""
UNMATCHED, OTHER_METHOD = "unmatched", "_OTHER"
"""What metrics call paths that no route takes, and methods that are none."""
NOSNIFF = (b"x-content-type-options", b"nosniff")
"""On every response, whatever its type: browsers must not guess another one."""

BEFORE_RESPONSE = "headrace_before_response"
"""The key of a request's scope for a function that is called when the handler is done, before the client hears of it."""

CALLED_AS = "headrace_called_as"
"""The key of a request's scope for the principal of a request that this process makes itself. No client can set it: what one
sends is in the scope's own fields."""

BEGUN = "headrace_response_begun"
"""The key of a request's scope that says that its response has begun."""

STOPPED_READING = "This server is being restarted, and the request was not done in time. Try again shortly."
STOPPED = (
    "This server is being restarted, and the request was not done in time. It may have been accepted: look before you send it "
    "again, or send it with the same Idempotency-Key."
)

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")


class RequestMiddleware:
    """Wraps the application. A request that is cancelled after the grace of `shutdown` is answered as all others are."""

    def __init__(self, app: ASGIApp, shutdown: Callable[[], Shutdown]) -> None:
        self._app, self._shutdown = app, shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = read_request_id(scope)
        scope["request_id"] = request_id
        scope["original_path"] = path = scope["path"]
        if path.split("/", 2)[1:2] and path.split("/", 2)[1] not in ROOTS:
            scope["path"] = "/api" + path
        is_head = scope.get("method") == "HEAD"
        if is_head:
            scope = cast(HTTPScope, {**scope, "method": "GET"})
        with _span(scope, request_id) as span:
            send = _with_headers(send, scope, request_id, span)
            try:
                await self._app(scope, receive, _without_body(send) if is_head else send)
            except asyncio.CancelledError:
                if not self._shutdown().is_over or CALLED_AS in scope:  # a line of a batch is another's to answer
                    raise
                await _say_stopped(scope, send)


async def _say_stopped(scope: Any, send: Send) -> None:
    """Answer a request whose time is up; a response that has begun ends where it is, which closes the connection."""
    if BEGUN in scope:
        return
    detail = STOPPED_READING if scope["method"] in READING else STOPPED
    path, headers = scope["original_path"], Headers.from_scope(scope)
    error = encode_error("server_stopping", detail, path=path, request_id=scope["request_id"], headers=headers)
    sent = [
        (b"content-type", error.media_type.encode()),
        (b"content-length", b"%d" % len(error.body)),
        (b"retry-after", RETRY_AFTER[error.status].encode()),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": sent})
    await send({"type": "http.response.body", "body": error.body, "more_body": False})


def _span(scope: Any, request_id: str) -> Span:
    if scope["path"].startswith(OF_PROBES):
        return UNTRACED
    return request_span(scope, _method(scope), request_id)


def _method(scope: Any) -> str:
    return scope["method"] if scope["method"] in METHODS else OTHER_METHOD


def _with_headers(send: Send, scope: Any, request_id: str, span: Span) -> Send:
    """Return a `send` that calls what must be done before the response, and adds the headers that all have."""

    began = time.perf_counter()

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            scope[BEGUN] = True
            _measure(scope, request_id, message["status"], time.perf_counter() - began, span)
            if (before := scope.pop(BEFORE_RESPONSE, None)) is not None:
                before()
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode()), NOSNIFF]
        await send(message)

    return send_with_headers


def _measure(scope: Any, request_id: str, status: int, duration_s: float, span: Span) -> None:
    method, route = _method(scope), scope.get("path_template") or UNMATCHED
    note_response(span, scope, method, route, status)
    HTTP_DURATION.of(method, route).observe(duration_s)
    HTTP_REQUESTS.of(method, route, str(status)).inc()
    if not route.startswith(OF_PROBES):
        FIGURES.note_route(method, route, duration_s, failed=status >= 500)
    elif status < 400:
        return
    caller = scope.get("user")
    facts: dict[str, str | float] = {
        "method": method,
        "route": route,
        "status": status,
        "ms": round(duration_s * 1000, 1),
    }
    if caller is not None:
        facts["tenant_id"] = str(caller.tenant_id)
    if (here := span.context) is not None:
        facts |= {"trace_id": here.trace_id, "span_id": here.span_id}
    log.info("request_answered", request_id=request_id, **facts)


def _without_body(send: Send) -> Send:
    """Return a `send` that answers HEAD as GET without its body. A stream ends at once, because `receive` then reports the end
    of the response."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_head


def read_request_id(scope: HTTPScope) -> str:
    """Return the id that the client gave its request, or a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return value.decode()
    return new_id().hex

"""ASGI middleware around every request: assigns the request id, and adds `/api` to paths without it.

Native routes are registered once, under `/api`. Paths outside the other roots get that prefix here, so the OpenAPI document
lists each route once.
"""

import re
import time
from typing import Any, cast

from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from api.http.request_span import note_response, request_span
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

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")


class RequestMiddleware:
    """Wraps the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["request_id"] = request_id
        scope["original_path"] = path = scope["path"]
        if path.split("/", 2)[1:2] and path.split("/", 2)[1] not in ROOTS:
            scope["path"] = "/api" + path
        is_head = scope.get("method") == "HEAD"
        if is_head:
            scope = cast(HTTPScope, {**scope, "method": "GET"})
        with _span(scope, request_id) as span:
            send = _with_headers(send, scope, request_id, span)
            await self._app(scope, receive, _without_body(send) if is_head else send)


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


def _request_id(scope: HTTPScope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return value.decode()
    return new_id().hex

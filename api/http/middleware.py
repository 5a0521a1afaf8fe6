"""ASGI middleware around every request: assigns the request id, adds `/api` to paths without it, and cuts off slow clients.

Native routes are registered once, under `/api`. Paths outside the other roots get that prefix here, so the OpenAPI document
lists each route once.
"""

import asyncio
import re
from typing import Any, cast

import structlog
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from schema.ids import new_id

log = structlog.get_logger()

ROOTS = frozenset({"", "api", "v1", "health", "schema", ".well-known"})
NOSNIFF = (b"x-content-type-options", b"nosniff")
"""On every response, whatever its type: browsers must not guess another one."""

BEFORE_RESPONSE = "headrace_before_response"
"""The key of a request's scope for a function that is called when the handler is done, before the client hears of it."""

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")


class RequestMiddleware:
    """Wraps the application. `slow_client_s`: how long one write may take before the client is cut off."""

    def __init__(self, app: ASGIApp, *, slow_client_s: float) -> None:
        self._app, self._slow_client_s = app, slow_client_s

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
        with SendDeadline(send, scope, self._slow_client_s) as deadline:
            await self._app(scope, receive, _without_body(deadline) if is_head else deadline)


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


class SendDeadline:
    """`send` that calls what must be done before the response, adds the headers that all have, and limits how long one
    call may take.

    uvicorn waits forever for a client that doesn't read. One timer per stream checks now and then whether a write hangs:
    a timer per write would cost more than the write.
    """

    def __init__(self, send: Send, scope: Any, limit_s: float) -> None:
        self._send, self._limit_s = send, limit_s
        self._scope, self._id = scope, scope["request_id"]
        self._write_started_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> "SendDeadline":
        self._loop = asyncio.get_running_loop()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if (before := self._scope.pop(BEFORE_RESPONSE, None)) is not None:
                before()
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self._id.encode()), NOSNIFF]
        elif self._timer is None and message.get("more_body"):
            self._timer = self._loop.call_later(self._limit_s, self._check)
        self._write_started_at = self._loop.time()
        await self._send(message)
        self._write_started_at = 0.0

    def _check(self) -> None:
        remaining = (
            self._write_started_at + self._limit_s - self._loop.time() if self._write_started_at else self._limit_s
        )
        if remaining > 0:
            self._timer = self._loop.call_later(remaining, self._check)
            return
        log.warning("slow_client_cut", request_id=self._id)
        transport = _transport(self._send)
        if transport is not None:
            # `close` would wait until the client has read the buffer, which it doesn't.
            transport.abort()


def _transport(send: Any) -> asyncio.Transport | None:
    """Return the connection behind uvicorn's `send`; ASGI has no way to abort it."""
    return getattr(getattr(send, "__self__", None), "transport", None)

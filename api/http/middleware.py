"""The outermost layer of every request, plain ASGI: its id, the native paths without `/api`, and slow clients.

Native routes are registered once, under `/api`; a path that begins with none of the other roots gets that prefix here, so
the OpenAPI document lists each route once.
"""

import asyncio
import re
from typing import Any

import structlog
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from schema.ids import new_id

log = structlog.get_logger()

ROOTS = frozenset({"", "api", "v1", "health", "schema", ".well-known"})
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")


class RequestMiddleware:
    """Wraps the application. `slow_client_s`: how long one write to a client may take before it is cut off."""

    def __init__(self, app: ASGIApp, *, slow_client_s: float) -> None:
        self._app, self._slow_client_s = app, slow_client_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["request_id"] = request_id  # type: ignore[typeddict-unknown-key]
        scope["asked_path"] = path = scope["path"]  # type: ignore[typeddict-unknown-key]
        if path.split("/", 2)[1:2] and path.split("/", 2)[1] not in ROOTS:
            scope["path"] = "/api" + path
        with SendDeadline(send, request_id, self._slow_client_s) as deadline:
            await self._app(scope, receive, deadline)


def _request_id(scope: HTTPScope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return value.decode()
    return new_id().hex


class SendDeadline:
    """`send` with the request id on the head, and a limit on how long one call may take.

    uvicorn waits for ever for a client that reads nothing. One timer a stream looks now and then whether a write hangs:
    a timer per write would cost more than the write.
    """

    def __init__(self, send: Send, request_id: str, limit_s: float) -> None:
        self._send, self._limit_s = send, limit_s
        self._id = request_id
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> "SendDeadline":
        self._loop = asyncio.get_running_loop()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self._id.encode())]
        elif self._timer is None and message.get("more_body"):
            self._timer = self._loop.call_later(self._limit_s, self._look)
        self._since = self._loop.time()
        await self._send(message)
        self._since = 0.0

    def _look(self) -> None:
        left = self._since + self._limit_s - self._loop.time() if self._since else self._limit_s
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
            return
        log.warning("slow_client_cut", request_id=self._id)
        transport = _transport(self._send)
        if transport is not None:
            # Closing would first wait for the client to read what is buffered, which it doesn't.
            transport.abort()


def _transport(send: Any) -> asyncio.Transport | None:
    """Return the connection behind uvicorn's `send`; ASGI itself has no word for cutting it."""
    return getattr(getattr(send, "__self__", None), "transport", None)

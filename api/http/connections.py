"""A connection's limits: how long headers and bodies may take to arrive, and how large headers may be.

    connected ──head_s──► headers ──► body: in every body_s as many bytes as MIN_BYTES_PER_S makes ──► response

uvicorn waits for ever. Whoever is too slow gets 408, whoever sends too much 431, both with `Connection: close`; a connection
on which nothing at all was sent is just closed. Not here: idle connections after a response (uvicorn's `timeout_keep_alive`),
clients that don't read (`middleware.py`), and how large a body may be (`body_limits.py`).

One look at all connections a second costs less than a timer for each request.
"""

import asyncio
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from api.http.error_catalog import CATALOG
from api.http.errors import OTHER_STATUSES, ProblemOut
from api.http.openai_errors import error_out
from schema.ids import new_id

log = structlog.get_logger()

MIN_BYTES_PER_S = 500
"""A body must come faster than this on average; Apache's default (mod_reqtimeout). The slowest mobile networks have more."""

MAX_HEADERS = 200
MAX_HEADER_BYTES = 64 * 1024
LINGER_S = 30.0
"""How long the rest of a body is read and dropped after it was answered early, so that its client reads the response."""

LAST_WORDS_S = 2.0
"""How long a refused client may go on sending: closed at once, its system would drop the response."""


class Connection(HttpToolsProtocol):
    """uvicorn's connection with limits. `check` is called every second.

    `_head_since`: since when a request's head is awaited, 0 while none is. `_body_since`: when the running period of
    `body_s` began, 0 while no body is incomplete; `_body_bytes` came in it.
    """

    def __init__(self, head_s: float, body_s: float, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_s, self._body_s = head_s, body_s
        self._head_since = self._body_since = self._answered_at = 0.0
        self._head_bytes = self._body_bytes = 0
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_since = self.loop.time()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if self._body_since or self._refused:
            return
        if not self._head_since and self._is_idle and self.timeout_keep_alive_task is None:
            self._head_since = self.loop.time()  # blank lines, which are no request, have ended the wait for one
        if self._head_since and self._head_bytes > MAX_HEADER_BYTES:
            self._refuse("headers_too_large")

    def eof_received(self) -> None:
        super().eof_received()
        if self._refused:
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_since = self.loop.time()

    def on_headers_complete(self) -> None:
        self._head_since, self._head_bytes, self._body_bytes = 0.0, 0, 0
        if len(self.headers) > MAX_HEADERS or len(self.url) + sum(map(_size, self.headers)) > MAX_HEADER_BYTES:
            self._refuse("headers_too_large")
            raise ValueError("refused")  # so the parser stops, and no request begins
        self._body_since = self.loop.time()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._body_since, self._head_bytes = 0.0, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        now = self.loop.time()
        self._answered_at = now
        if self._head_since:  # of the next request, which could not be answered before
            self._head_since = now
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls for bytes that are no HTTP."""
        self._refuse("malformed_request")

    def check(self, now: float) -> None:
        """Refuse what is too slow."""
        if self._refused or self.transport.is_closing():
            return
        if self._body_since:
            self._check_body(now)
        elif self._head_since and now - self._head_since > self._head_s and self._is_idle:
            if self._head_bytes:
                self._refuse("request_timeout")
            else:
                self.transport.close()

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _check_body(self, now: float) -> None:
        if self.cycle.response_complete:
            if now - self._answered_at > LINGER_S:
                self.transport.close()
            return
        if self.flow.read_paused or self.cycle.waiting_for_100_continue:  # the client waits for us
            self._body_since, self._body_bytes = now, 0
            return
        elapsed = now - self._body_since
        if elapsed > self._body_s:
            if self._body_bytes < MIN_BYTES_PER_S * elapsed:
                self._refuse("request_timeout")
            else:
                self._body_since, self._body_bytes = now, 0

    def _refuse(self, code: str) -> None:
        """Answer with an error and end the connection; without one in the middle of a response."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._unset_keepalive_if_required()
        log.info("connection_refused", code=code, address=self.client[0] if self.client else None)
        if not self._is_idle:
            if self.cycle.response_started or self.pipeline or not self._body_since:
                self.transport.abort()
                return
            self.cycle.disconnected = True  # whatever waits for the rest of the body ends
            self.cycle.message_event.set()
        self.flow.resume_reading()
        self.transport.write(_response(code, (getattr(self, "url", b"") or b"/").partition(b"?")[0]))
        self.loop.call_later(LAST_WORDS_S, self.transport.close)


def _size(header: tuple[bytes, bytes]) -> int:
    return len(header[0]) + len(header[1])


def _response(code: str, path: bytes) -> bytes:
    status, detail, request_id = OTHER_STATUSES[code], CATALOG[code].detail, new_id().hex
    phrase, instance = HTTPStatus(status).phrase, path[:200].decode("ascii", "replace")
    if instance.startswith("/v1/"):
        kind, body = "application/json", error_out(status, detail, code=code)
    else:
        kind = "application/problem+json"
        body = ProblemOut(
            type=f"urn:headrace:problem:{code}",
            title=phrase,
            status=status,
            detail=detail,
            instance=instance,
            code=code,
            request_id=request_id,
        )
    content = msgspec.json.encode(body)
    head = (
        f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n"
        f"X-Request-ID: {request_id}\r\nX-Content-Type-Options: nosniff\r\n\r\n"
    )
    return head.encode() + content


def connection_class(*, head_s: float, body_s: float) -> Any:
    """Return the `http` of uvicorn's configuration, with these limits."""

    class LimitedConnection(Connection):
        def __init__(self, config: uvicorn.Config, server_state: ServerState, *arguments: Any, **named: Any) -> None:
            super().__init__(head_s, body_s, config, server_state, *arguments, **named)

    return LimitedConnection


def check_connections(connections: Iterable[Any], clock: Callable[[], float]) -> None:
    """Look at all connections of a server; called every second."""
    now = clock()
    for connection in list(connections):
        if isinstance(connection, Connection):
            connection.check(now)

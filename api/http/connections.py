"""A connection's limits: how long headers and bodies may take to arrive, how large headers may be, and how long a client may
not read.

    connected ──head_s──► headers ──► body: in every body_s as many bytes as MIN_BYTES_PER_S makes ──► response: in every
    unread_s, some of it is read

uvicorn waits for ever. Whoever is too slow gets 408, whoever sends too much 431, both with `Connection: close`; a connection
on which nothing at all was sent is just closed. Whoever doesn't read is cut off, whatever the response and also after it:
`close` would wait until all is read. A proxy is hung up on without a word while this process is cut off from its stores
(`workers/stream/hub.py`), so that it asks another: a 503 it would take for an answer. Not here: idle connections after a
response (uvicorn's `timeout_keep_alive`), and how large a body may be (`bodies/limits.py`).

One look at all connections a second costs less than a timer for each request.
"""

import asyncio
import fcntl
import itertools
import logging
import os
import socket
import sys
import termios
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import httptools
import structlog
import uvicorn
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from api.http.error_catalog import CATALOG
from api.http.vendor_formats.encoded_errors import encode_error
from schema.ids import new_id
from workers.counted_lines import CountedLines

log = structlog.get_logger()
refused = CountedLines("connection_refused", by="code")

MIN_BYTES_PER_S = 500
"""A body must come faster than this on average; Apache's default (mod_reqtimeout). The slowest mobile networks have more."""

MAX_HEADERS = 200
MAX_HEADER_BYTES = 64 * 1024
LINGER_S = 30.0
"""How long the rest of a body is read and dropped after it was answered early, so that its client reads the response."""

CLOSE_DELAY_S = 2.0
"""How long a refused client may go on sending: closed at once, its system would drop the response."""

PROBED = ("/health", "/metrics")
"""Paths that answer whatever happens."""

NOT_ENCODED = (
    "The path or query has a character that must be percent-encoded, as %E1%BB%93 for ồ. Encode it; curl does with "
    "-G --data-urlencode."
)

STOOD_STILL_S = 1.0
"""A tick that comes so late was kept from it by a blocked event loop, a stopped process or a machine that slept."""

_numbers = itertools.count()


class RunningClock:
    """Time in which the event loop ran, as far as it is told of by `tick`. While it stood still no client could be heard, so
    that time is not counted against any."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lost_s, self._ticked_at = clock, 0.0, clock()

    def __call__(self) -> float:
        return self._clock() - self._lost_s

    def tick(self) -> None:
        """Called several times a second."""
        now = self._clock()
        if (late_s := now - self._ticked_at) > STOOD_STILL_S:
            self._lost_s += late_s
        self._ticked_at = now


class Connection(HttpToolsProtocol):
    """uvicorn's connection with limits. `check` is called every second; `number` counts the connections of the process.

    `_head_since`: since when a request's head is awaited, 0 while none is. `_body_since`: when the running period of
    `body_s` began, 0 while no body is incomplete; `_body_bytes` came in it. `_unread`: bytes that wait here and in the
    system for the client to read them, as the last check saw them; `_read_at`: when they last became fewer. `_answering`: the
    request that is being answered; `cycle` is the newest. `_refusal`: with what and why to refuse what follows it.
    """

    def __init__(
        self,
        head_s: float,
        body_s: float,
        unread_s: float,
        hangs_up_on: Callable[[str], bool],
        clock: RunningClock,
        *arguments: Any,
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        self._hangs_up_on, self._clock = hangs_up_on, clock
        self._head_s, self._body_s, self._unread_s = head_s, body_s, unread_s
        self._head_since = self._body_since = self._answered_at = self._read_at = 0.0
        self._head_bytes = self._body_bytes = 0
        self._unread = (0, 0)
        self._answering: RequestResponseCycle | None = None
        self._refused = False
        self._refusal: tuple[str, str] | None = None
        self.number = next(_numbers)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_since = self._read_at = self._clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell also the request that is being answered; uvicorn tells only the newest, and those between are not begun."""
        if (answering := self._answering) is not None and not answering.response_complete:
            answering.disconnected = True
            answering.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        if self.client and not cycle.scope["path"].startswith(PROBED) and self._hangs_up_on(self.client[0]):
            refused.count("stores_unreachable", address=self.client[0])
            self.transport.abort()
            return
        super()._start_asgi_task(cycle, app)

    def resume_writing(self) -> None:
        self._read_at = self._clock()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._refused or self._refusal:
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if self._body_since or self._refused:
            return
        if not self._head_since and self._is_idle and self.timeout_keep_alive_task is None:
            self._head_since = self._clock()  # blank lines, which are no request, have ended the wait for one
        if self._head_since and self._head_bytes > MAX_HEADER_BYTES:
            self._refuse("headers_too_large")

    def eof_received(self) -> None:
        super().eof_received()
        if self._refused:
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_since = self._clock()

    def on_headers_complete(self) -> None:
        self._head_since, self._head_bytes, self._body_bytes = 0.0, 0, 0
        if len(self.headers) > MAX_HEADERS or len(self.url) + sum(map(_size, self.headers)) > MAX_HEADER_BYTES:
            self._refuse("headers_too_large")
            raise ValueError("refused")  # so the parser stops, and no request begins
        super().on_headers_complete()
        self._body_since = self._clock()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._body_since, self._head_bytes = 0.0, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        now = self._clock()
        self._answered_at = now
        if self._head_since:  # of the next request, which could not be answered before
            self._head_since = now
        super().on_response_complete()
        if self._refusal and self._is_idle:
            self._refuse(*self._refusal)

    def _unsupported_upgrade_warning(self) -> None:
        """uvicorn would log two lines for each request that wants WebSockets; it is answered as if it did not."""
        refused.count("unsupported_upgrade", address=self.client[0] if self.client else None)

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls for bytes that are no HTTP."""
        error = sys.exception()
        is_not_encoded = isinstance(error, httptools.HttpParserInvalidURLError) and "Invalid char" in str(error)
        self._refuse("malformed_request", NOT_ENCODED if is_not_encoded else "")

    def check(self, now: float) -> None:
        """Refuse what is too slow."""
        self._check_unread(now)
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

    def _check_unread(self, now: float) -> None:
        size = self.transport.get_write_buffer_size()
        unread = (size, _unread_in_system(self.transport)) if size else (0, 0)
        if not size or unread[0] < self._unread[0] or unread[1] < self._unread[1]:
            self._read_at = now
        self._unread = unread
        if now - self._read_at > self._unread_s:
            request_id = self._answering.scope.get("request_id") if self._answering else None
            log.warning("slow_client_cut", request_id=request_id, address=self.client[0] if self.client else None)
            self.transport.abort()

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

    def _refuse(self, code: str, detail: str = "") -> None:
        """Answer with an error, after the requests before, and end the connection; without one in the middle of a response."""
        if self._refused or self.transport.is_closing():
            return
        if not self._is_idle and not self._body_since:
            self._refusal = self._refusal or (code, detail)
            return
        self._refused = True
        self._unset_keepalive_if_required()
        refused.count(code, address=self.client[0] if self.client else None)
        if not self._is_idle:
            if self.cycle.response_started or self.pipeline:
                self.transport.abort()
                return
            self.cycle.disconnected = True  # whatever waits for the rest of the body ends
            self.cycle.message_event.set()
        self.flow.resume_reading()
        path = (getattr(self, "url", b"") or b"/").partition(b"?")[0]
        self.transport.write(_response(code, path, detail or CATALOG[code].detail))
        self.loop.call_later(CLOSE_DELAY_S, self.transport.close)


def _size(header: tuple[bytes, bytes]) -> int:
    return len(header[0]) + len(header[1])


def _unread_in_system(transport: asyncio.Transport) -> int:
    """Return how many sent bytes the client's system has not taken, 0 where that can't be asked. The system takes from us only
    when much of its buffer is free, for a slow reader once in minutes; its own count goes down all the time."""
    left = bytearray(4)
    try:
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, left)
    except OSError:
        return 0
    return int.from_bytes(left, sys.byteorder)


def _response(code: str, path: bytes, detail: str) -> bytes:
    request_id = new_id().hex
    error = encode_error(code, detail, path=path[:200].decode("ascii", "replace"), request_id=request_id)
    head = (
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\nContent-Type: {error.media_type}\r\n"
        f"Content-Length: {len(error.body)}\r\nConnection: close\r\nX-Request-ID: {request_id}\r\n"
        "X-Content-Type-Options: nosniff\r\n\r\n"
    )
    return head.encode() + error.body


def quiet_malformed() -> None:
    """Keep back uvicorn's line for each request that is no HTTP; `connection_refused` counts them."""
    logging.getLogger("uvicorn.error").addFilter(lambda record: record.msg != "Invalid HTTP request received.")


def connection_class(
    *, head_s: float, body_s: float, unread_s: float, hangs_up_on: Callable[[str], bool], clock: RunningClock
) -> Any:
    """Return the `http` of uvicorn's configuration, with these limits; `hangs_up_on` says so of a peer's address."""

    class LimitedConnection(Connection):
        def __init__(self, config: uvicorn.Config, server_state: ServerState, *arguments: Any, **named: Any) -> None:
            super().__init__(head_s, body_s, unread_s, hangs_up_on, clock, config, server_state, *arguments, **named)

    return LimitedConnection


def notice_vanished_clients(listening: Iterable[Any], *, within_s: float) -> None:
    """Have the system end connections whose other side has acknowledged nothing for so long; it would try for a quarter of an
    hour. Connections that these sockets accept from now on inherit it."""
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return
    for one in listening:
        with socket.socket(fileno=os.dup(one.fileno())) as sock:
            if sock.family in (socket.AF_INET, socket.AF_INET6):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * within_s))


def check_connections(connections: Iterable[Any], clock: RunningClock, *, turn: int = 0, turns: int = 1) -> None:
    """Look at a server's connections, at each of them in one of every `turns` turns: ten thousand would hold up all streams for
    14 ms. Called so that each is looked at once a second."""
    clock.tick()
    now = clock()
    refused.flush()
    for connection in list(connections):
        if isinstance(connection, Connection) and connection.number % turns == turn:
            connection.check(now)

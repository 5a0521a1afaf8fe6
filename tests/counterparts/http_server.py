"""A very small HTTP/1.1 server for test counterparts: raw asyncio, one write per token, one record per request.

It is also the benchmark's model stand-in, so it must cost far less than what is measured. It speaks just enough HTTP for real
clients: keep-alive, Content-Length bodies, chunked responses; `Expect` is ignored.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, cast
from urllib.parse import parse_qsl

from tests.waiting import PATIENCE_S

REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


@dataclass(slots=True)
class Record:
    """The record of one request. Times are `time.monotonic_ns`, which all processes of a Linux machine share."""

    path: str
    model: str = ""
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    began_ns: int = 0
    tokens_sent: int = 0
    finished_ns: int = 0
    client_closed_ns: int = 0
    status: int = 0


class Exchange:
    """One request and the way to answer it."""

    def __init__(self, connection: "Connection", method: str, record: Record) -> None:
        self.method = method
        self.path = record.path
        self.record = record
        self._connection = connection
        self.write = connection.transport.write

    @property
    def gone(self) -> bool:
        """Whether the client has closed the connection."""
        return self.record.client_closed_ns > 0 or self._connection.transport.is_closing()

    def answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        """Send a whole JSON response."""
        data = json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}", "content-type: application/json"]
        lines += [f"content-length: {len(data)}", *(f"{k}: {v}" for k, v in (headers or {}).items())]
        self.record.status = status
        self.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        self.finish()

    def begin(self, content_type: str) -> None:
        """Send the head of a chunked response."""
        self.record.status = 200
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
        self.write(head.encode())

    def end(self) -> None:
        """Send the last, empty chunk."""
        self.write(b"0\r\n\r\n")
        self.finish()

    def cut(self) -> None:
        """Close the connection at once, with a reset if bytes are still in flight."""
        self._connection.transport.abort()

    def finish(self) -> None:
        self.record.finished_ns = time.monotonic_ns()

    async def until_gone(self) -> None:
        """Waits until the client closes the connection."""
        await self._connection.lost.wait()


Handler = Callable[[Exchange], Awaitable[None]]


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked answer."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def parse_body(data: bytes, headers: dict[str, str]) -> Any:
    """JSON, or a form as a dict."""
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(data.decode(), keep_blank_values=True))
    return json.loads(data)


class Connection(asyncio.Protocol):
    """One client connection; requests on it are answered one after another."""

    transport: asyncio.Transport

    def __init__(self, server: "CounterpartServer") -> None:
        self._server = server
        self._buffer = b""
        self._record: Record | None = None
        self._task: asyncio.Task[None] | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is None:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self.lost.set()
        if self._record is not None and not self._record.finished_ns:
            self._record.client_closed_ns = time.monotonic_ns()
            self._server.changed()
        if self._task is not None:
            self._task.cancel()

    def _next(self) -> None:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        method, path, _ = first.split(" ")
        body = parse_body(rest[:length], headers) if length else None
        model = str((body or {}).get("model", "")) if isinstance(body, dict) else ""
        self._record = Record(path, model, body, headers, began_ns=time.monotonic_ns())
        exchange = Exchange(self, method, self._record)
        self._task = asyncio.get_running_loop().create_task(self._serve(exchange))

    async def _serve(self, exchange: Exchange) -> None:
        try:
            await self._server.serve(exchange)
        finally:
            self._server.changed()
            self._task = self._record = None
        if not self.transport.is_closing():
            self._next()


class CounterpartServer:
    """`async with` it in a test, or `await serve_forever(port)`; subclasses say how to `handle` an exchange."""

    def __init__(self, *, keep_records: int = 10_000) -> None:
        self.requests: list[Record] = []
        self.connections: set[Connection] = set()
        self.port = 0
        self._keep = keep_records
        self._server: asyncio.Server | None = None
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), host, port, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            open_now = list(self.connections)
            for connection in open_now:
                connection.transport.abort()
            for connection in open_now:
                await connection.lost.wait()
            await self._server.wait_closed()

    async def serve(self, exchange: Exchange) -> None:
        """Answers `/_records` itself; everything else is recorded and handled."""
        if exchange.path == "/_records":
            exchange.answer(200, [asdict(r) for r in self.requests])
            return
        self.requests.append(exchange.record)
        if len(self.requests) > self._keep:
            del self.requests[: self._keep // 2]
        self.changed()
        await self.handle(exchange)

    async def handle(self, exchange: Exchange) -> None:
        raise NotImplementedError

    def changed(self) -> None:
        """Wake `until`: a request has arrived, or a record has ended."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, condition: Callable[[], bool], cap_s: float = PATIENCE_S) -> None:
        """Wait until `condition()` holds, checked whenever a request arrives or ends. Raises TimeoutError after `cap_s`."""
        async with asyncio.timeout(cap_s):
            while not condition():
                waiter = asyncio.get_running_loop().create_future()
                self._waiters.append(waiter)
                await waiter

    async def until_begun(self, count: int = 1) -> None:
        """Waits until so many requests have come."""
        await self.until(lambda: len(self.requests) >= count)


def run(server: CounterpartServer, port: int, host: str = "127.0.0.1") -> None:
    """Serves until interrupted, on uvloop."""
    import uvloop

    async def main() -> None:
        await server.start(port, host)
        print(server.url, flush=True)
        await asyncio.Event().wait()

    with suppress(KeyboardInterrupt):
        uvloop.run(main())

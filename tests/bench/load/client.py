"""The load client: raw HTTP/1.1 over keep-alive connections, one request at a time on each.

It shares the machine with what it measures, so while a request runs it only notes when which bytes came (about 2 µs a
packet). What the bytes mean is read afterwards, in `stream_reading.py`.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

LAST_CHUNK = b"\r\n0\r\n\r\n"
TIMEOUT_S = 120.0


@dataclass(slots=True)
class Exchange:
    """One request and all that came back. Times are `time.monotonic_ns`, which the model stand-in stamps tokens with."""

    sent_ns: int = 0
    ended_ns: int = 0
    packets: list[tuple[int, bytes]] = field(default_factory=list)
    error: str = ""

    @property
    def answer(self) -> bytes:
        """Head and body, with the marks of the chunks in it."""
        return b"".join([data for _, data in self.packets])

    @property
    def took_ms(self) -> float:
        return (self.ended_ns - self.sent_ns) / 1e6


class HttpConnection(asyncio.Protocol):
    """One connection. A failed request leaves it closed; the next `ask` connects again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None  # while it is incomplete
        self._asked: Exchange
        self._begun: asyncio.Future[None]
        self._done: asyncio.Future[None]
        self._left: int | None = None  # bytes of a body of known length; None while the answer is chunked
        self._tail = b""

    async def ask(self, request: bytes) -> Exchange:
        """Send one request and return when its answer has come whole, or `error` says why it has not."""
        exchange = await self._send(request)
        await self.rest()
        return exchange

    async def begin(self, request: bytes) -> Exchange:
        """Send one request and return when its answer begins, or `error` says why it does not. The rest comes meanwhile."""
        exchange = await self._send(request)
        await self._until(self._begun, exchange, "answer")
        return exchange

    async def rest(self, timeout_s: float = TIMEOUT_S) -> None:
        """Return when the answer has come whole, or `error` says why it has not."""
        await self._until(self._done, self._asked, "end", timeout_s)

    async def _send(self, request: bytes) -> Exchange:
        if self._transport is None:
            await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        self._asked = self._exchange = Exchange()
        self._begun, self._done = loop.create_future(), loop.create_future()
        self._left, self._tail = None, b""
        self._asked.sent_ns = time.monotonic_ns()
        self._transport.write(request)
        return self._asked

    async def _until(
        self, moment: asyncio.Future[None], exchange: Exchange, what: str, timeout_s: float = TIMEOUT_S
    ) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await moment
        except TimeoutError:
            exchange.error = f"no {what} within {timeout_s:g} s"
        exchange.ended_ns = time.monotonic_ns()
        if exchange.error:
            self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._end("the connection was closed")

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        exchange.packets.append((time.monotonic_ns(), data))
        if len(exchange.packets) == 1:
            self._begin(data)
        elif self._left is not None:
            self._left -= len(data)
        self._tail = self._tail[-len(LAST_CHUNK) :] + data if len(data) < len(LAST_CHUNK) else data
        if self._left == 0 or (self._left is None and self._tail.endswith(LAST_CHUNK)):
            self._end("")

    def _begin(self, data: bytes) -> None:
        """Read the head, which servers write at once. Only 200 and 202 are answers."""
        head, _, body = data.partition(b"\r\n\r\n")
        if head[9:12] not in (b"200", b"202"):
            self._end(data.decode(errors="replace")[:400])
            return
        self._mark_begun()
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                self._left = int(line[15:]) - len(body)

    def _end(self, error: str) -> None:
        if self._exchange is not None and not self._done.done():
            self._exchange.error = error
            self._done.set_result(None)
            self._mark_begun()
        self._exchange = None

    def _mark_begun(self) -> None:
        if not self._begun.done():
            self._begun.set_result(None)


async def send_sequentially(
    port: int, request: Callable[[int], bytes], count: int, *, pause_s: float = 0.01
) -> list[Exchange]:
    """One client, `count` requests one after another; the pause lets what follows an answer come to rest."""
    link, exchanges = HttpConnection(port), []
    for k in range(count):
        exchanges.append(await link.ask(request(k)))
        await asyncio.sleep(pause_s)
    link.close()
    return exchanges


async def send_concurrently(
    port: int, request: bytes, *, clients: int, each: int = 1, over_s: float = 0.0, for_s: float | None = None
) -> list[Exchange]:
    """Many clients, their starts spread evenly `over_s`; each asks `each` times, or again and again `for_s`.

    The exchanges of one client stand together, in order.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def client(number: int) -> list[Exchange]:
        await asyncio.sleep(over_s * number / clients)
        link, asked = HttpConnection(port), []
        while loop.time() < began + for_s if for_s is not None else len(asked) < each:
            asked.append(await link.ask(request))
        link.close()
        return asked

    return [one for asked in await asyncio.gather(*map(client, range(clients))) for one in asked]

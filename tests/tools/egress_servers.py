"""Servers for the egress tests: a trap that counts who connects, and one that answers what its paths say."""

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from tests.counterparts.http_server import CounterpartServer, Exchange, chunk
from tests.tools.hostile.urls import NAMES
from tools.egress.network import resolve


class ConnectionTrap:
    """Counts connections to one port of this machine, IPv6 included where there is any."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0

    async def _caught(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError):
            await reader.read(1)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            await writer.drain()
        writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["ConnectionTrap"]:
        server = await asyncio.start_server(self._caught, "0.0.0.0", 0)
        self.port = server.sockets[0].getsockname()[1]
        servers = [server]
        with suppress(OSError):
            servers.append(await asyncio.start_server(self._caught, "::1", self.port, family=socket.AF_INET6))
        try:
            yield self
        finally:
            for each in servers:
                each.close()
                await each.wait_closed()


async def resolve_test_names(host: str, port: int) -> Sequence[str]:
    """DNS as the tests have it; what isn't in it goes to getaddrinfo, which reads numbers without asking anybody."""
    if host in NAMES:
        return NAMES[host]
    if host.rpartition(".")[2][:1].isdigit():
        return await resolve(host, port)
    raise socket.gaierror(f"{host} is not known to the tests")


class ResponseServer(CounterpartServer):
    """Answers what the path says: `/json`, `/bytes/5000`, `/bomb/5000`, `/drip`, `/status/404`, and so on."""

    def __init__(self) -> None:
        super().__init__()
        self.redirect_to = ""

    async def handle(self, exchange: Exchange) -> None:
        _, what, *rest = exchange.path.partition("?")[0].split("/")
        await getattr(self, f"_{what}")(exchange, *rest)

    def whole(self, exchange: Exchange, body: bytes, *lines: str) -> None:
        head = "\r\n".join(["HTTP/1.1 200 OK", f"content-length: {len(body)}", *lines])
        exchange.write(head.encode() + b"\r\n\r\n" + body)
        exchange.finish()

    async def _json(self, exchange: Exchange) -> None:
        exchange.answer(200, {"host": exchange.record.headers["host"]}, {"set-cookie": "a=b; Path=/"})

    async def _echo(self, exchange: Exchange) -> None:
        exchange.answer(200, exchange.record.headers)

    async def _text(self, exchange: Exchange) -> None:
        self.whole(exchange, b"\xff not json")

    async def _deep(self, exchange: Exchange) -> None:
        self.whole(exchange, b"[" * 100_000)

    async def _bytes(self, exchange: Exchange, count: str) -> None:
        self.whole(exchange, b"x" * int(count))

    async def _length(self, exchange: Exchange, count: str) -> None:
        exchange.write(f"HTTP/1.1 200 OK\r\ncontent-length: {count}\r\n\r\n".encode())
        exchange.finish()

    async def _chunks(self, exchange: Exchange, count: str) -> None:
        exchange.begin("text/plain")
        for _ in range(int(count) // 1000):
            exchange.write(chunk(b"x" * 1000))
        exchange.end()

    async def _bomb(self, exchange: Exchange, count: str) -> None:
        self.whole(exchange, gzip.compress(b"\0" * int(count)), "content-encoding: gzip")

    async def _cut(self, exchange: Exchange) -> None:
        self.whole(exchange, gzip.compress(b"\0" * 1000)[:-10], "content-encoding: gzip")

    async def _notgzip(self, exchange: Exchange) -> None:
        self.whole(exchange, b"hello", "content-encoding: gzip")

    async def _packed(self, exchange: Exchange, how: str) -> None:
        self.whole(exchange, b"hello", f"content-encoding: {how.replace('+', ', ')}")

    async def _endless(self, exchange: Exchange) -> None:
        exchange.begin("text/plain")
        while not exchange.gone:
            exchange.write(chunk(b"x" * 1000))
            await asyncio.sleep(0)

    async def _drip(self, exchange: Exchange) -> None:
        exchange.begin("text/plain")
        while not exchange.gone:
            exchange.write(chunk(b"x"))
            await asyncio.sleep(0.01)

    async def _drips(self, exchange: Exchange) -> None:
        """A head that never ends."""
        exchange.write(b"HTTP/1.1 200 OK\r\n")
        while not exchange.gone:
            exchange.write(b"a")
            await asyncio.sleep(0.01)

    async def _silence(self, exchange: Exchange) -> None:
        await exchange.until_gone()

    async def _nonsense(self, exchange: Exchange) -> None:
        exchange.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        exchange.cut()

    async def _status(self, exchange: Exchange, status: str) -> None:
        exchange.answer(int(status), {})

    async def _redirect(self, exchange: Exchange, status: str) -> None:
        exchange.answer(int(status), {}, {"location": self.redirect_to})


@asynccontextmanager
async def serve_page_over_tls(context: ssl.SSLContext) -> AsyncIterator[int]:
    """The port of a server that answers `{}` to everything."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]

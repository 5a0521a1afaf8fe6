"""One connection to Redis, straight on hiredis: commands out, replies in order, and messages that nobody asked for.

It knows how to connect, to authenticate and to notice that Redis is gone or silent. Not here: connecting again, which is
its owners' work: `workers/redis/client.py` shares one connection among callers, `workers/stream/pubsub.py` subscribes with one.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import hiredis
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection, parse_url

Command = tuple[Any, ...]
ReplyError = hiredis.ReplyError

CONNECT_S = 2.0  # longer than this to connect is "down"
REPLY_S = 5.0  # a connection whose oldest request waits longer is given up
PING_S = 5.0  # a silent subscription is asked whether it lives
SILENCE_S = 12.0  # and given up when it stays silent
RETRY_S = 0.25  # pause after a failed connect


@dataclass(frozen=True)
class RedisAddress:
    """Where Redis is, as a URL says it: `redis://`, `rediss://` or `unix://`."""

    host: str = "localhost"
    port: int = 6379
    path: str | None = None
    tls: bool = False
    hello: tuple[Command, ...] = field(default=(), repr=False)

    @classmethod
    def from_url(cls, url: str) -> "RedisAddress":
        """Read a URL; raises ValueError for one that isn't a Redis URL."""
        parts: dict[str, Any] = dict(parse_url(url))
        kind = parts.get("connection_class")
        hello: list[Command] = []
        if password := parts.get("password"):
            hello.append(("AUTH", parts.get("username") or "default", password))
        if db := parts.get("db"):
            hello.append(("SELECT", db))
        return cls(
            host=parts.get("host", "localhost"),
            port=parts.get("port", 6379),
            path=parts.get("path") if kind is UnixDomainSocketConnection else None,
            tls=kind is SSLConnection,
            hello=tuple(hello),
        )


def pack(commands: Sequence[Command]) -> bytes:
    """Return commands as the bytes that Redis reads."""
    return b"".join([hiredis.pack_command(command) for command in commands])


class RedisConnection(asyncio.Protocol):
    """One socket, from `open` until it is lost; a lost one stays lost."""

    def __init__(self, on_message: Callable[[Any], None] | None = None) -> None:
        self.lost = False
        self.gone = asyncio.Event()
        self._on_message = on_message or self._refuse
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[asyncio.Future[list[Any]], list[Any], int, float]] = deque()
        self._watch: asyncio.TimerHandle | None = None

    @classmethod
    async def open(cls, address: RedisAddress, on_message: Callable[[Any], None] | None = None) -> "RedisConnection":
        """Connect and authenticate. Replies that no request waits for go to `on_message`.

        Raises OSError, TimeoutError, or ReplyError when Redis refuses the password or the database.
        """
        connection = cls(on_message)
        async with asyncio.timeout(CONNECT_S):
            await connection._connect(address)
        if address.hello:
            try:
                async with asyncio.timeout(CONNECT_S):
                    replies = await connection.request(pack(address.hello), len(address.hello))
                for reply in replies:
                    if isinstance(reply, ReplyError):
                        raise reply
            except BaseException:
                connection.abort()
                raise
        return connection

    async def _connect(self, address: RedisAddress) -> None:
        loop = asyncio.get_running_loop()
        if address.path:
            await loop.create_unix_connection(lambda: self, address.path)
        else:
            tls = ssl.create_default_context() if address.tls else None
            await loop.create_connection(lambda: self, address.host, address.port, ssl=tls)

    def request(self, data: bytes, replies: int) -> "asyncio.Future[list[Any]]":
        """Write packed commands; the future gets as many replies. It, or this call, raises ConnectionError."""
        if self.lost:
            raise ConnectionError("Redis went away")
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        self._waiting.append((future, [], replies, self._loop.time()))
        self._transport.write(data)
        if self._watch is None:
            self._watch = self._loop.call_later(REPLY_S, self._check)
        return future

    def write(self, commands: Sequence[Command]) -> None:
        """Write commands whose replies go to `on_message`; on a lost connection they are dropped."""
        if not self.lost:
            self._transport.write(pack(commands))

    def abort(self) -> None:
        """Close at once; requests that wait fail."""
        self.lost = True
        self._transport.abort()

    async def close(self) -> None:
        """Abort, and wait until the socket is closed."""
        self.abort()
        await self.gone.wait()

    async def wait_lost(self) -> None:
        """Return when the connection is gone. A silent one is asked whether it lives, and given up if it stays silent."""
        while not self.gone.is_set():
            try:
                async with asyncio.timeout(PING_S):
                    await self.gone.wait()
            except TimeoutError:
                silent_s = self._loop.time() - self._heard_at
                if silent_s > SILENCE_S:
                    self.abort()
                elif silent_s >= PING_S:
                    self.write([("PING",)])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self._heard_at = self._loop.time()
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if not self._waiting:
                self._on_message(reply)
                continue
            future, replies, wanted, _ = self._waiting[0]
            replies.append(reply)
            if len(replies) == wanted:
                self._waiting.popleft()
                if not future.done():
                    future.set_result(replies)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self.lost = True
        self.gone.set()
        if self._watch is not None:
            self._watch.cancel()
        for future, *_ in self._waiting:
            if not future.done():
                future.set_exception(ConnectionError("Redis went away"))
                future.exception()  # whoever waits sees it; nobody waiting is no error
        self._waiting.clear()

    def _check(self) -> None:
        """Give the connection up when its oldest request has waited too long: Redis is frozen, or the network is."""
        self._watch = None
        if not self._waiting:
            return
        left = self._waiting[0][3] + REPLY_S - self._loop.time()
        if left <= 0:
            self.abort()
        else:
            self._watch = self._loop.call_later(left, self._check)

    def _refuse(self, reply: Any) -> None:
        """A reply to nothing: whichever reply comes next could be given to the wrong caller."""
        self.abort()

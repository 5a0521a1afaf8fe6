"""One connection to Redis, built directly on hiredis: commands out, replies in order, and pushed messages.

It connects, authenticates, and notices when Redis is gone or silent. It does not reconnect; its owners do:
`workers/redis/client.py` shares one connection among callers, `workers/stream/pubsub.py` subscribes with one. Both open it by
`workers/redis/sentinel.py`, which knows the right server.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis

from workers.redis.address import Command, RedisAddress

ReplyError = hiredis.ReplyError

CONNECT_TIMEOUT_S = 1.5
REPLY_TIMEOUT_S = 1.5  # a connection whose oldest request waited longer is closed; accepting a chat may wait for that
LATE_READ_S = 0.1  # for replies that have arrived while the event loop was busy
PING_AFTER_S = 5.0  # a silent subscription is pinged
SILENCE_TIMEOUT_S = 12.0  # and closed if it stays silent
RETRY_DELAY_S = 0.25  # pause after a failed connect


def pack(commands: Sequence[Command]) -> bytes:
    """Return commands in the Redis protocol (RESP)."""
    return b"".join([hiredis.pack_command(command) for command in commands])


class RedisConnection(asyncio.Protocol):
    """One socket, from `open` until it is lost. A lost connection can't be reused. `heard_at`: when something came last."""

    def __init__(self, on_message: Callable[[Any], None] | None = None, *, blocks_s: float = 0.0) -> None:
        self.lost = False
        self.timed_out = False
        self.closed = asyncio.Event()
        self.blocks_s = blocks_s
        self.watch: asyncio.Task[None] | None = None
        """Looks whether this is still the right server, for as long as the connection is open."""
        self._on_message = on_message or self._on_unexpected_reply
        self._reader = hiredis.Reader()
        self._pending: deque[tuple[asyncio.Future[list[Any]], list[Any], int, float]] = deque()
        self._timeout_timer: asyncio.TimerHandle | None = None
        self._reason = "the connection to Redis was lost"

    @classmethod
    async def open(
        cls, address: RedisAddress, on_message: Callable[[Any], None] | None = None, *, blocks_s: float = 0.0
    ) -> "RedisConnection":
        """Connect and authenticate. Replies that no request is waiting for go to `on_message`; `blocks_s` is how long a
        command may block in Redis.

        Raises OSError, TimeoutError, or ReplyError if Redis rejects the password or the database.
        """
        connection = cls(on_message, blocks_s=blocks_s)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await connection._connect(address)
        if address.handshake:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    replies = await connection.request(pack(address.handshake), len(address.handshake))
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
        """Write packed commands and return a future of their replies, as many as `replies`. Either raises ConnectionError."""
        if self.lost:
            raise ConnectionError("the connection to Redis was lost")
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        self._pending.append((future, [], replies, self._loop.time()))
        self._transport.write(data)
        if self._timeout_timer is None:
            self._timeout_timer = self._loop.call_later(REPLY_TIMEOUT_S + self.blocks_s, self._check_timeout)
        return future

    def write(self, commands: Sequence[Command]) -> None:
        """Write commands whose replies go to `on_message`. Does nothing on a lost connection."""
        if not self.lost:
            self._transport.write(pack(commands))

    def abort(self) -> None:
        """Close at once. Pending requests fail."""
        self.lost = True
        self._transport.abort()

    async def close(self) -> None:
        """Abort and wait until the socket is closed."""
        self.abort()
        await self.closed.wait()
        if self.watch is not None:
            self.watch.cancel()
            await asyncio.gather(self.watch, return_exceptions=True)

    async def wait_closed(self) -> None:
        """Wait until the connection is closed. A silent connection is pinged, and closed if it stays silent."""
        while not self.closed.is_set():
            try:
                async with asyncio.timeout(PING_AFTER_S):
                    await self.closed.wait()
            except TimeoutError:
                silent_s = self._loop.time() - self.heard_at
                if silent_s > SILENCE_TIMEOUT_S:
                    self.abort()
                elif silent_s >= PING_AFTER_S:
                    self.write([("PING",)])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports don't subclass it
        self._loop = asyncio.get_running_loop()
        self.heard_at = self._loop.time()

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self.heard_at = self._loop.time()
        self._reader.feed(data)
        try:
            self._take_replies()
        except hiredis.ProtocolError:
            self._reason = "what answers there does not speak Redis' protocol"
            self.abort()

    def _take_replies(self) -> None:
        while (reply := self._reader.gets()) is not False:
            if not self._pending:
                self._on_message(reply)
                continue
            future, replies, expected, _ = self._pending[0]
            replies.append(reply)
            if len(replies) == expected:
                self._pending.popleft()
                if not future.done():
                    future.set_result(replies)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self.lost = True
        self.closed.set()
        if self._timeout_timer is not None:
            self._timeout_timer.cancel()
        for future, *_ in self._pending:
            if not future.done():
                future.set_exception(ConnectionError(self._reason))
                future.exception()  # marks it as retrieved: the caller may be gone
        self._pending.clear()

    def _check_timeout(self) -> None:
        """Close the connection when its oldest request has waited too long: Redis or the network is frozen."""
        self._timeout_timer = None
        if not self._pending:
            return
        remaining_s = self._pending[0][3] + REPLY_TIMEOUT_S + self.blocks_s - self._loop.time()
        if remaining_s <= -LATE_READ_S:
            self.timed_out = True
            self.abort()
        elif remaining_s <= 0:
            self._timeout_timer = self._loop.call_later(LATE_READ_S, self._check_timeout)
        else:
            self._timeout_timer = self._loop.call_later(remaining_s, self._check_timeout)

    def _on_unexpected_reply(self, reply: Any) -> None:
        """Close the connection: after a reply without a request, later replies could reach the wrong callers."""
        self.abort()

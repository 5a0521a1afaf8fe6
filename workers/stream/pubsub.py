"""A pub/sub subscriber that reconnects. Each process has one connection for all its channels.

Pub/sub delivers at most once, so listeners need another way to read what they missed: after each reconnect `on_gap` is
called, and followers read their job's stream again.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog

from workers.redis.address import RedisAddress
from workers.redis.connection import RETRY_DELAY_S, SILENCE_TIMEOUT_S, RedisConnection, ReplyError
from workers.redis.sentinel import open_master

log = structlog.get_logger()


class Subscriber:
    """Subscribes to channels and calls `on_message(channel, data)` on the event loop, in order. Reconnects by itself."""

    def __init__(
        self,
        address: RedisAddress,
        on_message: Callable[[str, bytes], None],
        on_gap: Callable[[], None] = lambda: None,
    ) -> None:
        self._address = address
        self._on_message = on_message
        self._on_gap = on_gap
        self._channels: dict[str, asyncio.Event] = {}
        self._connection: RedisConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._was_connected = False
        self._heard_at = 0.0
        self._lost_at: float | None = None

    @property
    def heard_at(self) -> float:
        """When Redis said something last, on the loop's clock. A silent one is asked every few seconds."""
        if self._connection is not None:
            self._heard_at = max(self._heard_at, self._connection.heard_at)
        return self._heard_at

    def start(self) -> None:
        """Connect in the background, in the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="subscriber")

    async def close(self) -> None:
        """Stop and disconnect."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close()

    async def subscribe(self, channel: str, *, timeout_s: float = 2.0) -> bool:
        """Subscribe and wait for the confirmation; False if it takes too long (it may still come later)."""
        confirmed = self._channels.get(channel)
        if confirmed is None:
            confirmed = self._channels[channel] = asyncio.Event()
            self._send("SUBSCRIBE", channel)
        try:
            async with asyncio.timeout(timeout_s):
                await confirmed.wait()
        except TimeoutError:
            return False
        return True

    def reconnect(self) -> None:
        """Leave the connection for a new one: messages don't arrive over it."""
        if self._connection is not None:
            self._connection.abort()

    def unsubscribe(self, channel: str) -> None:
        """Unsubscribe from `channel`."""
        if self._channels.pop(channel, None) is not None:
            self._send("UNSUBSCRIBE", channel)

    def _send(self, *command: str) -> None:
        if self._connection is not None:
            self._connection.write([command])

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (OSError, TimeoutError, ReplyError) as error:
                log.warning("pubsub_disconnected", error=type(error).__name__)
                self._lost_at = self._lost_at or time.monotonic()
            if self._connection is not None:  # may still be open and deliver messages twice
                self._heard_at = self.heard_at
                self._connection.abort()
                self._connection = None
            for confirmed in self._channels.values():
                confirmed.clear()
            await asyncio.sleep(RETRY_DELAY_S)

    async def _listen(self) -> None:
        connection = self._connection = await open_master(self._address, self._on_reply)
        if self._channels:
            connection.write([("SUBSCRIBE", *self._channels)])
            if self._was_connected:
                for confirmed in list(self._channels.values()):
                    async with asyncio.timeout(SILENCE_TIMEOUT_S):
                        await confirmed.wait()
                self._on_gap()
        self._was_connected = True
        if self._lost_at is not None:
            log.info("pubsub_reconnected", after_s=round(time.monotonic() - self._lost_at, 1))
            self._lost_at = None
        await connection.wait_closed()
        raise ConnectionError("the subscription was closed")

    def _on_reply(self, reply: Any) -> None:
        if not isinstance(reply, list):
            return
        kind, channel = reply[0], reply[1]
        if kind == b"message":
            self._on_message(channel.decode(), reply[2])
        elif kind == b"subscribe":
            confirmed = self._channels.get(channel.decode())
            if confirmed is not None:
                confirmed.set()

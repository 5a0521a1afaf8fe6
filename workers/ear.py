"""One pub/sub connection a process: whatever the process listens to comes through here (S7).

Pub/sub is at-most-once, so whoever listens must be able to read what was missed elsewhere: after each reconnect
`on_gap` is called, and followers read the job's stream again.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import hiredis
import structlog

from workers.wire import RedisAddress, ReplyError, pack

log = structlog.get_logger()

PING_S = 5.0  # a silent connection is asked whether it lives
SILENCE_S = 12.0  # and given up when it stays silent
RETRY_S = 0.25


class Ear:
    """Subscribes to channels and calls `on_message(channel, payload)` on the loop, in order. Reconnects by itself."""

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
        self._line: _Line | None = None
        self._task: asyncio.Task[None] | None = None
        self._has_listened = False

    def start(self) -> None:
        """Begin to listen, in the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="ear")

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._line is not None:
            self._line.transport.abort()
            await self._line.gone.wait()

    async def subscribe(self, channel: str, *, timeout_s: float = 2.0) -> bool:
        """Listen to `channel` and wait until Redis confirms; False if it doesn't in time (it will once it is back)."""
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

    def unsubscribe(self, channel: str) -> None:
        """Stop listening to `channel`."""
        if self._channels.pop(channel, None) is not None:
            self._send("UNSUBSCRIBE", channel)

    def _send(self, *command: str) -> None:
        if self._line is not None:
            self._line.transport.write(pack([command]))

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (OSError, TimeoutError, ReplyError) as error:
                log.warning("ear_disconnected", error=type(error).__name__)
            self._line = None
            for confirmed in self._channels.values():
                confirmed.clear()
            await asyncio.sleep(RETRY_S)

    async def _listen(self) -> None:
        line = _Line(self._heard)
        await self._address.open(line)
        line.transport.write(pack(self._address.hello))
        self._line = line
        if self._channels:
            line.transport.write(pack([("SUBSCRIBE", *self._channels)]))
            if self._has_listened:
                for confirmed in list(self._channels.values()):
                    async with asyncio.timeout(SILENCE_S):
                        await confirmed.wait()
                self._on_gap()
        self._has_listened = True
        await line.watch()

    def _heard(self, reply: Any) -> None:
        if not isinstance(reply, list):
            return
        kind, channel = reply[0], reply[1]
        if kind == b"message":
            self._on_message(channel.decode(), reply[2])
        elif kind == b"subscribe":
            confirmed = self._channels.get(channel.decode())
            if confirmed is not None:
                confirmed.set()


class _Line(asyncio.Protocol):
    def __init__(self, heard: Callable[[Any], None]) -> None:
        self._heard = heard
        self._reader = hiredis.Reader()
        self.gone = asyncio.Event()
        self._last = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()

    def data_received(self, data: bytes) -> None:
        self._last = self._loop.time()
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._heard(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()

    async def watch(self) -> None:
        """Return when the connection is gone, asking a silent one whether it lives."""
        while not self.gone.is_set():
            try:
                async with asyncio.timeout(PING_S):
                    await self.gone.wait()
            except TimeoutError:
                silent_s = self._loop.time() - self._last
                if silent_s > SILENCE_S:
                    self.transport.abort()
                elif silent_s >= PING_S:
                    self.transport.write(pack([("PING",)]))
        raise ConnectionError("the subscription was closed")

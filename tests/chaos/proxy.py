"""A TCP relay that can delay nothing, swallow everything, or break off at the worst moment."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress


class Proxy:
    """Between a process and a store. `swallow()` keeps connections open and lets nothing through. `cut_after(data)` says
    whether to break the connection just after these bytes of the client have reached the server; `deafen(data)` whether
    to leave it open and let nothing more of the client through. Use as `async with`."""

    def __init__(self, port: int, *, at: int = 0) -> None:
        self._target, self.port = port, at
        self._through = asyncio.Event()
        self._through.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None] | None] = set()
        self.cut_after: Callable[[bytes], bool] = lambda data: False
        self.deafen: Callable[[bytes], bool] = lambda data: False
        self.cuts = 0

    async def __aenter__(self) -> "Proxy":
        await self.come_back()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        self.cut()
        serving = [task for task in self._serving if task is not None]
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    def swallow(self) -> None:
        """Let nothing through in either direction, as a network that drops packets."""
        self._through.clear()

    def let_through(self) -> None:
        """Work again; what was under way is lost, as after a long partition."""
        self.cut()
        self._through.set()

    def go_away(self) -> None:
        """Refuse connections and break those that are there, as where the server behind it has died."""
        self._server.close()
        self.cut()

    async def come_back(self) -> None:
        """Take connections, at the port of before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def lead_to(self, port: int, *, cut: bool = True) -> None:
        """Lead to another server from now on, as an address does after a failover; `cut` breaks what leads to the old one."""
        self._target = port
        if cut:
            self.cut()

    def cut(self) -> None:
        """Break all connections."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.current_task())
        try:
            await self._relay(reader, writer)
        finally:
            self._serving.discard(asyncio.current_task())

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            await self._through.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers |= {writer, far_writer}
            await asyncio.gather(
                self._pump(reader, far_writer, writer), self._pump(far_reader, writer, None), return_exceptions=True
            )
            self._writers -= {writer, far_writer}
            far_writer.close()
        writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, back: asyncio.StreamWriter | None
    ) -> None:
        try:
            while data := await reader.read(1 << 16):
                await self._through.wait()
                if back is not None and self.deafen(data):
                    await asyncio.Event().wait()
                to.write(data)
                await to.drain()
                if back is not None and self.cut_after(data):
                    self.cuts += 1
                    back.transport.abort()
        finally:
            to.close()


def one_in(chances: int, marker: bytes, rng: random.Random) -> Callable[[bytes], bool]:
    """A `cut_after` that strikes one in so many times that `marker` goes by."""
    return lambda data: marker in data and rng.randrange(chances) == 0

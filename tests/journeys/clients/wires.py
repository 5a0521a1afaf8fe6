"""Connections to an API process, byte by byte."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import psutil

from tests.conftest import TestTenant
from tests.system import System
from tests.waiting import PATIENCE_S, wait_for


class Answer(NamedTuple):
    """What came before the connection ended. `status` is 0 if nothing did."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        return json.loads(self.body)


class Wire:
    """A connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
        self._reader, self._writer, self._key = reader, writer, key

    def send(self, data: str | bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(data.encode() if isinstance(data, str) else data)

    def begin(self, line: str, *headers: str) -> None:
        """Send a whole head."""
        lines = (line, "Host: x", f"Authorization: Bearer {self._key}", *headers)
        self.send("".join(f"{line}\r\n" for line in lines) + "\r\n")

    def post(self, *headers: str, path: str = "/api/sessions") -> None:
        self.begin(f"POST {path} HTTP/1.1", "Content-Type: application/json", *headers)

    async def answer(self) -> Answer:
        """Return one response, of which the length is known."""
        async with asyncio.timeout(PATIENCE_S):
            head = await self._reader.readuntil(b"\r\n\r\n")
            status, _, rest = head.decode().partition("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in rest.split("\r\n") if line)
            return Answer(
                int(status.split()[1]), headers, await self._reader.readexactly(int(headers["content-length"]))
            )

    async def rest(self) -> bytes:
        """Return what comes until the connection ends."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._reader.read()
        except ConnectionResetError:
            return b""

    async def dribble(self, piece: bytes, every_s: float) -> None:
        """Send a piece now and then, until the other side has had enough."""
        while not self._reader.at_eof() and not self._writer.is_closing():
            self.send(piece)
            await asyncio.sleep(every_s)

    def close(self) -> None:
        self._writer.close()


class Wires:
    """Connections to a system's API process, with the key of a tenant."""

    def __init__(self, system: System, tenant: TestTenant) -> None:
        self.system, self.tenant, self._all = system, tenant, list[Wire]()

    async def connect(self) -> Wire:
        streams = await asyncio.open_connection("127.0.0.1", self.system.ports["api"])
        self._all.append(Wire(*streams, self.tenant.key))
        return self._all[-1]

    @contextlib.contextmanager
    def unread(self) -> Iterator[socket.socket]:
        """A connection of which nothing is read that the test doesn't read."""
        with socket.socket() as made:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            made.connect(("127.0.0.1", self.system.ports["api"]))
            yield made

    async def until_let_go(self, raw: socket.socket) -> None:
        """Wait until the process has closed its side of a connection, which its client doesn't see before it has read all."""
        port, process = raw.getsockname()[1], psutil.Process(self.system.processes["api"].pid)

        async def has_let_go() -> bool:
            await asyncio.sleep(0.2)  # looking takes long
            return port not in {each.raddr[1] for each in process.net_connections() if each.raddr}

        await wait_for(has_let_go, "the process has let go of the connection")

    def close(self) -> None:
        for wire in self._all:
            wire.close()

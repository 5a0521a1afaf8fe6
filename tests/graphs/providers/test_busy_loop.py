"""A stream whose loop is busy with other tenants: what came meanwhile is read in one piece, and a cut loses no byte."""

import asyncio
from uuid import UUID

import pytest

from graphs.fair_loop import FairLoop, share_loop
from graphs.providers.contract import ProviderTimeouts
from graphs.providers.errors import ProviderStreamCut
from graphs.providers.http.vendor_client import VendorClient
from graphs.providers.registry import open_session
from schema.ids import new_id
from tests.waiting import PATIENCE_S


class BusyLoop(FairLoop):
    """Lets nobody take a step before `free` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.free = asyncio.Event(), asyncio.Event()

    async def step(self, tenant_id: UUID) -> bool:
        self.asked.set()
        await self.free.wait()
        return True


@pytest.mark.parametrize("ends", ["whole", "cut"])
async def test_what_came_while_a_stream_waited_is_read_in_one_piece(ends: str) -> None:
    loop, has_sent = BusyLoop(), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        await loop.asked.wait()
        writer.write(b"3\r\ntwo\r\n" + (b"0\r\n\r\n" if ends == "whole" else b""))
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        has_sent.set()

    share_loop(loop, new_id())
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server, open_session() as session:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = VendorClient(session, provider="it", base_url=url, headers={}, timeouts=ProviderTimeouts())
        async with asyncio.timeout(PATIENCE_S), client.open("", b"") as response:
            reading = asyncio.create_task(response.read())
            await has_sent.wait()
            content = response._content
            while content.total_bytes < 6 or (ends == "cut" and content.exception() is None):
                await asyncio.sleep(0)  # the client's side of the connection is read by the same loop
            loop.free.set()
            pieces = [await reading]
            if ends == "whole":
                assert b"" == await response.read()
            else:
                pieces.append(await response.read())
                with pytest.raises(ProviderStreamCut):
                    await response.read()
    assert (["onetwo"] if ends == "whole" else ["one", "two"]) == [piece.decode() for piece in pieces]

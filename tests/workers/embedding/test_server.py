"""An embedding server that stops, is full or is killed loses no more than its own requests."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from schema.errors import Unavailable
from tests.waiting import PATIENCE_S
from tests.workers.embedding.fake_engines import FakeEngine, new_server, queue_key
from workers.embedding.client import EmbeddingClient
from workers.embedding.protocol import (
    MAX_QUERY_TEXTS,
)
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient

SILENT_SERVER = """
import asyncio, sys
from workers.embedding.server import EmbeddingServer
from workers.redis.address import RedisAddress

class SilentEngine:
    async def embed(self, texts, **_):
        print("began", flush=True)
        await asyncio.sleep(3600)

async def main():
    async with EmbeddingServer(RedisAddress.from_url(sys.argv[1]), SilentEngine()):
        print("ready", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


async def test_a_closing_server_finishes_running_requests(address: RedisAddress, client: EmbeddingClient) -> None:
    engine = FakeEngine(held=True)
    server = new_server(address, engine)
    await server.__aenter__()
    calls = asyncio.create_task(client.embed(["3"]))
    await engine.began.wait()
    closing = asyncio.create_task(server.__aexit__())
    async with asyncio.timeout(PATIENCE_S):
        while not all(task.done() for task in server._serving):
            await asyncio.sleep(0.001)
    engine.released.set()
    assert [[1.0, 3.0]] == await calls
    await closing


async def test_a_closed_server_takes_no_more_requests(
    address: RedisAddress, redis_client: RedisClient, client: EmbeddingClient
) -> None:
    async with new_server(address, FakeEngine()):
        await client.embed(["1"])
    with pytest.raises(Unavailable):
        await client.embed(["1"], timeout_s=0.05)
    assert 1 == await redis_client.call("LLEN", queue_key())


async def test_a_server_takes_no_more_requests_than_its_concurrency(
    address: RedisAddress, redis_client: RedisClient, client: EmbeddingClient
) -> None:
    engine = FakeEngine(held=True)
    async with new_server(address, engine, ("bulk",)):
        texts = [str(number) for number in range(MAX_QUERY_TEXTS + 1)]
        calls = [asyncio.create_task(client.embed(texts)) for _ in range(5)]
        async with asyncio.timeout(PATIENCE_S):
            while len(engine.calls) < 2 or await redis_client.call("LLEN", queue_key("bulk")) < 3:
                await asyncio.sleep(0.001)
        assert 2 == len(engine.calls)
        engine.released.set()
        await asyncio.gather(*calls)


@asynccontextmanager
async def silent_server(redis_url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that takes requests and never answers."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SILENT_SERVER, redis_url, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_killed_server_loses_only_its_own_requests(
    redis_url: str, address: RedisAddress, client: EmbeddingClient
) -> None:
    async with silent_server(redis_url) as process:
        assert process.stdout is not None
        assert b"ready\n" == await process.stdout.readline()
        lost = asyncio.create_task(client.embed(["1"], timeout_s=2))
        assert b"began\n" == await process.stdout.readline()
        process.kill()
        await process.wait()
        async with new_server(address, FakeEngine()):
            assert [[1.0, 2.0]] == await client.embed(["2"])
            with pytest.raises(Unavailable):
                await lost


async def test_a_cancelled_caller_leaves_nothing_behind(address: RedisAddress, client: EmbeddingClient) -> None:
    engine = FakeEngine(held=True)
    async with new_server(address, engine):
        calls = asyncio.create_task(client.embed(["1"]))
        await engine.began.wait()
        calls.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calls
        assert {} == client._pending
        engine.released.set()
        assert [[1.0, 2.0]] == await client.embed(["2"])

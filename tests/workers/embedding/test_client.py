"""Embedding through Redis: API processes ask, workers answer, and nobody waits for long when something is amiss."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from graphs.embeddings.batching import Batcher
from graphs.embeddings.purposes import Purpose
from graphs.embeddings.registry import open_embedder
from graphs.providers.errors import ModelUnknown, ProviderTimeout
from schema import redis_names
from schema.errors import InputError, Unavailable
from tests.waiting import PATIENCE_S
from workers.embedding.client import MOST_TEXTS, EmbeddingClient, EmbeddingFailed
from workers.embedding.protocol import ASK_TEXTS, MOST_WAITING, QUERY_TEXTS, EmbeddingRequest, Lane, encode
from workers.embedding.server import EmbeddingServer
from workers.queue.job_core import process_name
from workers.redis.client import RedisClient
from workers.redis.connection import RedisAddress

LANES: tuple[Lane, ...] = ("query", "bulk")
SILENT = """
import asyncio, sys
from workers.embedding.server import EmbeddingServer
from workers.redis.connection import RedisAddress

class Silent:
    async def embed(self, texts, **_):
        print("began", flush=True)
        await asyncio.sleep(3600)

async def main():
    async with EmbeddingServer(RedisAddress.from_url(sys.argv[1]), Silent()):
        print("ready", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


class Engine:
    """What a worker embeds with: a text's vector is its length and its place among all that came; held until freed."""

    def __init__(self, *, held: bool = False) -> None:
        self.asked: list[tuple[list[str], dict[str, Any]]] = []
        self.began, self.free = asyncio.Event(), asyncio.Event()
        if not held:
            self.free.set()

    async def embed(self, texts: Sequence[str], **how: Any) -> list[list[float]]:
        self.asked.append((list(texts), how))
        self.began.set()
        await self.free.wait()
        if "bad" in texts:
            raise ModelUnknown("There is no such model.")
        if "broken" in texts:
            raise ZeroDivisionError
        return [[float(len(text)), float(text or 0)] for text in texts]


@pytest.fixture
def address(redis_url: str) -> RedisAddress:
    return RedisAddress.from_url(redis_url)


@pytest.fixture
async def redis_client(address: RedisAddress) -> AsyncIterator[RedisClient]:
    redis_client = RedisClient(address)
    await redis_client.call("FLUSHDB")
    yield redis_client
    await redis_client.close()


@pytest.fixture
async def client(address: RedisAddress, redis_client: RedisClient) -> AsyncIterator[EmbeddingClient]:
    async with EmbeddingClient(address, redis_client, process=process_name()) as client:
        yield client


def serving(address: RedisAddress, engine: Engine, lanes: Sequence[Lane] = LANES) -> EmbeddingServer:
    return EmbeddingServer(address, engine, lanes=lanes)


def waiting(lane: Lane = "query") -> str:
    return redis_names.embedding_requests(lane)


async def test_vectors_come_back_in_the_order_of_their_texts(address: RedisAddress, client: EmbeddingClient) -> None:
    engine = Engine()
    async with serving(address, engine):
        found = await client.embed(["7", "12345"], purpose="passage", lane="tenant")
    assert [[1.0, 7.0], [5.0, 12345.0]] == found
    how = {"purpose": "passage", "embedder": "minilm", "lane": "query/tenant"}
    assert [(["7", "12345"], how)] == engine.asked


async def test_many_texts_are_cut_into_asks_for_the_lane_of_bulk(
    address: RedisAddress, client: EmbeddingClient
) -> None:
    texts = [str(number) for number in range(5 * ASK_TEXTS + 3)]
    engine = Engine()
    async with serving(address, engine):
        found = await client.embed(texts)
    assert [float(text) for text in texts] == [vector[1] for vector in found]
    assert [3, *[ASK_TEXTS] * 5] == sorted(len(asked) for asked, _ in engine.asked)
    assert {"bulk/"} == {how["lane"] for _, how in engine.asked}


async def test_few_long_texts_are_bulk_too(address: RedisAddress, client: EmbeddingClient) -> None:
    engine = Engine()
    async with serving(address, engine, ("bulk",)):
        found = await client.embed(["0" * 20_000])
    assert [[20_000.0, 0.0]] == found


async def test_no_texts_ask_nobody(client: EmbeddingClient) -> None:
    assert [] == await client.embed([]) == await client.rate("?", [])


class Ratings:
    """A cross-encoder that likes long texts that are not the query."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def rate(self, query: str, texts: Sequence[str]) -> list[float]:
        self.asked.append(len(texts))
        return [0.0 if text == query else len(text) / 100 for text in texts]


async def test_passages_are_rated_beside_the_query_in_parts(address: RedisAddress, client: EmbeddingClient) -> None:
    engine, reranker = Engine(), Ratings()
    async with EmbeddingServer(address, engine, reranker=reranker):
        found = await client.rate("xxx", ["x" * (n + 1) for n in range(50)])
    assert [0.01, 0.02, 0.0, *[pytest.approx((n + 1) / 100) for n in range(3, 50)]] == [
        pytest.approx(one) for one in found
    ]
    assert ([2, 16, 16, 16], []) == (sorted(reranker.asked), engine.asked)


async def test_workers_without_a_cross_encoder_say_so(address: RedisAddress, client: EmbeddingClient) -> None:
    async with serving(address, Engine()):
        with pytest.raises(EmbeddingFailed, match="HEADRACE_RERANKER") as failed:
            await client.rate("?", ["x"])
    assert "model_unknown" == failed.value.code


async def test_nobody_rates_where_no_worker_runs(client: EmbeddingClient) -> None:
    with pytest.raises(Unavailable, match="start a worker"):
        await client.rate("?", ["x"], timeout_s=0.05)


async def test_a_flood_at_once_is_answered_each_with_its_own(address: RedisAddress, client: EmbeddingClient) -> None:
    async with serving(address, Engine()), serving(address, Engine()):
        found = await asyncio.gather(*(client.embed([str(number), "5"]) for number in range(200)))
    assert [[float(number), 5.0] for number in range(200)] == [[vector[1] for vector in one] for one in found]


async def test_two_processes_hear_their_own_answers(
    address: RedisAddress, redis_client: RedisClient, client: EmbeddingClient
) -> None:
    async with serving(address, Engine()), EmbeddingClient(address, redis_client, process=process_name()) as other:
        ours, theirs = await asyncio.gather(client.embed(["1"]), other.embed(["2"]))
    assert ([[1.0, 1.0]], [[1.0, 2.0]]) == (ours, theirs)


async def test_without_a_worker_it_is_unavailable_when_time_is_up(client: EmbeddingClient) -> None:
    with pytest.raises(Unavailable, match="No worker embedded the text"):
        await client.embed(["1"], timeout_s=0.1)


async def test_an_ask_whose_time_is_up_is_not_worked_on(
    address: RedisAddress, redis_client: RedisClient, client: EmbeddingClient
) -> None:
    with pytest.raises(Unavailable):
        await client.embed(["1"], timeout_s=0.05)
    engine = Engine()
    async with serving(address, engine):
        assert [[1.0, 2.0]] == await client.embed(["2"])
    assert [["2"]] == [texts for texts, _ in engine.asked]


async def test_a_list_that_nobody_works_off_is_forgotten(redis_client: RedisClient, client: EmbeddingClient) -> None:
    with pytest.raises(Unavailable):
        await client.embed(["1"], timeout_s=0.05)
    assert 0 < await redis_client.call("TTL", waiting()) <= 60


async def test_a_full_list_is_unavailable_at_once_and_grows_no_further(
    redis_client: RedisClient, client: EmbeddingClient
) -> None:
    await redis_client.call("LPUSH", waiting(), *["x"] * MOST_WAITING)
    with pytest.raises(Unavailable, match="Too many texts are waiting"):
        await client.embed(["1"], timeout_s=60)
    assert [MOST_WAITING, b"x"] == await redis_client.send([("LLEN", waiting()), ("LINDEX", waiting(), 0)])


async def test_without_redis_it_is_unavailable(unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.embedding.client.SUBSCRIBE_S", 0.05)
    nowhere = RedisAddress(port=unused_tcp_port)
    async with serving(nowhere, Engine()), EmbeddingClient(nowhere, RedisClient(nowhere), process="p") as client:
        with pytest.raises(Unavailable, match="Redis does not answer"):
            await client.embed(["1"])


async def test_the_servers_connections_come_back(
    address: RedisAddress, redis_client: RedisClient, client: EmbeddingClient
) -> None:
    async with serving(address, Engine()):
        await client.embed(["1"])
        await redis_client.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await redis_client.call("CLIENT", "KILL", "TYPE", "pubsub")
        assert [[1.0, 2.0]] == await client.embed(["2"])


async def test_bytes_that_are_no_ask_do_no_harm(
    address: RedisAddress, redis_client: RedisClient, client: EmbeddingClient
) -> None:
    soon = time.time() + 60
    asks: tuple[Any, ...] = (
        b"",
        b"\xc1",
        b"\x93\x01\xa1\xff",
        b'{"id": 1}',
        encode("text"),
        encode([1, "p", ["x"] * 100, "query", "minilm", "", soon]),
        encode([1, "p", [], "query", "minilm", "", soon]),
        encode([1, "p", ["x"], "speech", "minilm", "", soon]),
        encode([1, "p", ["x" * 200_000], "query", "minilm", "", soon]),
        encode([1, "p", [b"\xff"], "query", "minilm", "", soon]),
    )
    await redis_client.call("LPUSH", waiting(), *asks)
    engine = Engine()
    with capture_logs() as logs:
        async with serving(address, engine):
            assert [[1.0, 2.0]] == await client.embed(["2"])
    assert [["2"]] == [texts for texts, _ in engine.asked]
    assert ["embedding_ask_malformed"] * len(asks) == [line["event"] for line in logs]


async def test_bytes_that_are_no_answer_do_no_harm(address: RedisAddress, redis_client: RedisClient) -> None:
    async with EmbeddingClient(address, redis_client, process="heard") as client, serving(address, Engine()):
        await client.embed(["1"])
        for answer in (b"", b"\xc1", encode([99]), encode([99, "x"]), encode("text")):
            await redis_client.call("PUBLISH", redis_names.embedding_answers("heard"), answer)
        assert [[1.0, 2.0]] == await client.embed(["2"])


async def test_too_many_texts_are_refused_before_anybody_is_asked(
    redis_client: RedisClient, client: EmbeddingClient
) -> None:
    with pytest.raises(InputError) as refused:
        await client.embed(["1"] * (MOST_TEXTS + 1))
    assert "input" == refused.value.field
    assert [0, 0] == await redis_client.send([("LLEN", waiting("query")), ("LLEN", waiting("bulk"))])


@pytest.mark.parametrize(("text", "code"), [("bad", "model_unknown"), ("broken", "internal")])
async def test_what_goes_wrong_in_the_worker_reaches_who_asked(
    address: RedisAddress, client: EmbeddingClient, text: str, code: str
) -> None:
    async with serving(address, Engine()):
        with pytest.raises(EmbeddingFailed) as failed:
            await client.embed([text])
        assert code == failed.value.code
        assert [[1.0, 2.0]] == await client.embed(["2"])


async def test_a_server_that_closes_answers_what_is_under_way(address: RedisAddress, client: EmbeddingClient) -> None:
    engine = Engine(held=True)
    server = serving(address, engine)
    await server.__aenter__()
    asked = asyncio.create_task(client.embed(["3"]))
    await engine.began.wait()
    closing = asyncio.create_task(server.__aexit__())
    async with asyncio.timeout(PATIENCE_S):
        while not all(task.done() for task in server._serving):
            await asyncio.sleep(0.001)
    engine.free.set()
    assert [[1.0, 3.0]] == await asked
    await closing


async def test_a_closed_server_takes_nothing_more(
    address: RedisAddress, redis_client: RedisClient, client: EmbeddingClient
) -> None:
    async with serving(address, Engine()):
        await client.embed(["1"])
    with pytest.raises(Unavailable):
        await client.embed(["1"], timeout_s=0.05)
    assert 1 == await redis_client.call("LLEN", waiting())


async def test_a_server_takes_no_more_than_it_can_work_on(
    address: RedisAddress, redis_client: RedisClient, client: EmbeddingClient
) -> None:
    engine = Engine(held=True)
    async with serving(address, engine, ("bulk",)):
        texts = [str(number) for number in range(QUERY_TEXTS + 1)]
        asked = [asyncio.create_task(client.embed(texts)) for _ in range(5)]
        async with asyncio.timeout(PATIENCE_S):
            while len(engine.asked) < 2 or await redis_client.call("LLEN", waiting("bulk")) < 3:
                await asyncio.sleep(0.001)
        assert 2 == len(engine.asked)
        engine.free.set()
        await asyncio.gather(*asked)


@asynccontextmanager
async def silent_server(redis_url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that takes asks and never answers."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SILENT, redis_url, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_killed_server_costs_its_asks_and_no_other(
    redis_url: str, address: RedisAddress, client: EmbeddingClient
) -> None:
    async with silent_server(redis_url) as process:
        assert process.stdout is not None
        assert b"ready\n" == await process.stdout.readline()
        lost = asyncio.create_task(client.embed(["1"], timeout_s=2))
        assert b"began\n" == await process.stdout.readline()
        process.kill()
        await process.wait()
        async with serving(address, Engine()):
            assert [[1.0, 2.0]] == await client.embed(["2"])
            with pytest.raises(Unavailable):
                await lost


async def test_a_caller_that_leaves_leaves_nothing_behind(address: RedisAddress, client: EmbeddingClient) -> None:
    engine = Engine(held=True)
    async with serving(address, engine):
        asked = asyncio.create_task(client.embed(["1"]))
        await engine.began.wait()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert {} == client._waiting
        engine.free.set()
        assert [[1.0, 2.0]] == await client.embed(["2"])


class Vendor:
    """A provider; `slow` never answers."""

    def __init__(self, *, slow: bool = False) -> None:
        self.slow = slow

    async def embed(self, texts: Sequence[str], model: str) -> list[list[float]]:
        if self.slow:
            await asyncio.Event().wait()
        return [[3.0, 4.0] for _ in texts]


async def test_a_providers_model_is_called_from_here(client: EmbeddingClient) -> None:
    found = await client.embed(["1", "2"], embedder="ollama/bge-m3", get_provider=lambda name: Vendor())
    assert [pytest.approx([0.6, 0.8])] * 2 == found


async def test_a_provider_that_is_slow_is_not_waited_for(client: EmbeddingClient) -> None:
    with pytest.raises(ProviderTimeout):
        await client.embed(["1"], embedder="ollama/m", get_provider=lambda name: Vendor(slow=True), timeout_s=0.05)


class RealEngine:
    """all-MiniLM-L6-v2, batched, as workers have it."""

    def __init__(self) -> None:
        self.batcher = Batcher(open_embedder())

    async def embed(self, texts: Sequence[str], *, purpose: Purpose, embedder: str, lane: str) -> list[list[float]]:
        return await self.batcher.embed(texts, lane=lane, purpose=purpose)


async def test_the_real_engine_answers_as_it_does_without_redis(address: RedisAddress, client: EmbeddingClient) -> None:
    texts, engine = ["Where is the container?", "Công nợ bao nhiêu?"], RealEngine()
    async with EmbeddingServer(address, engine):
        found = await client.embed(texts)
    assert await engine.batcher.embed(texts) == found
    await engine.batcher.aclose()


async def test_workers_that_embed_differently_are_not_mixed(address: RedisAddress, client: EmbeddingClient) -> None:
    class Other(Engine):
        async def embed(self, texts: Sequence[str], **how: Any) -> list[list[float]]:
            return [[1.0] * len(texts) for _ in texts]

    async with serving(address, Other()):
        with pytest.raises(Unavailable, match="different embedding models"):
            await client.embed([str(number) for number in range(ASK_TEXTS + 1)])


def test_an_ask_is_small_on_the_wire() -> None:
    ask = EmbeddingRequest(1, "host:1:abcd", ["hello"], "query", "minilm", "", 1.0)
    assert len(encode(ask)) < 60

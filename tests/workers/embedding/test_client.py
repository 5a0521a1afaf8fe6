"""Embedding over Redis: workers answer the requests of API processes, and failures are reported soon."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from graphs.embeddings.batching import Batcher
from graphs.embeddings.purposes import Purpose
from graphs.embeddings.registry import open_embedder
from graphs.providers.errors import ProviderTimeout
from schema import redis_names
from schema.errors import InputError, Unavailable
from tests.waiting import PATIENCE_S
from tests.workers.embedding.fake_engines import FakeEngine, new_server, queue_key
from workers.embedding.client import MAX_TEXTS, EmbeddingClient, EmbeddingFailed
from workers.embedding.protocol import (
    MAX_QUEUED,
    MAX_REQUEST_TEXTS,
    EmbeddingRequest,
    encode,
)
from workers.embedding.server import EmbeddingServer
from workers.queue.job_core import process_name
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient


async def test_vectors_come_back_in_the_order_of_their_texts(address: RedisAddress, client: EmbeddingClient) -> None:
    engine = FakeEngine()
    async with new_server(address, engine):
        found = await client.embed(["7", "12345"], purpose="passage", lane="tenant")
    assert [[1.0, 7.0], [5.0, 12345.0]] == found
    options = {"purpose": "passage", "embedder": "minilm", "lane": "query/tenant"}
    assert [(["7", "12345"], options)] == engine.calls


async def test_many_texts_are_split_into_requests_for_the_bulk_queue(
    address: RedisAddress, client: EmbeddingClient
) -> None:
    texts = [str(number) for number in range(5 * MAX_REQUEST_TEXTS + 3)]
    engine = FakeEngine()
    async with new_server(address, engine):
        found = await client.embed(texts)
    assert [float(text) for text in texts] == [vector[1] for vector in found]
    assert [3, *[MAX_REQUEST_TEXTS] * 5] == sorted(len(calls) for calls, _ in engine.calls)
    assert {"bulk/"} == {options["lane"] for _, options in engine.calls}


async def test_few_long_texts_are_bulk_too(address: RedisAddress, client: EmbeddingClient) -> None:
    engine = FakeEngine()
    async with new_server(address, engine, ("bulk",)):
        found = await client.embed(["0" * 20_000])
    assert [[20_000.0, 0.0]] == found


async def test_no_texts_send_no_request(client: EmbeddingClient) -> None:
    assert [] == await client.embed([]) == await client.rate("?", [])


class FakeReranker:
    """A fake cross-encoder: long texts rate higher, the query itself 0."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    async def rate(self, query: str, texts: Sequence[str]) -> list[float]:
        self.calls.append(len(texts))
        return [0.0 if text == query else len(text) / 100 for text in texts]


async def test_passages_are_rated_against_the_query_in_batches(address: RedisAddress, client: EmbeddingClient) -> None:
    engine, reranker = FakeEngine(), FakeReranker()
    async with EmbeddingServer(address, engine, reranker=reranker):
        found = await client.rate("xxx", ["x" * (n + 1) for n in range(50)])
    assert [0.01, 0.02, 0.0, *[pytest.approx((n + 1) / 100) for n in range(3, 50)]] == [
        pytest.approx(one) for one in found
    ]
    assert ([2, 16, 16, 16], []) == (sorted(reranker.calls), engine.calls)


async def test_workers_without_a_cross_encoder_report_that(address: RedisAddress, client: EmbeddingClient) -> None:
    async with new_server(address, FakeEngine()):
        with pytest.raises(EmbeddingFailed, match="HEADRACE_RERANKER") as failed:
            await client.rate("?", ["x"])
    assert "model_unknown" == failed.value.code


async def test_rating_without_a_worker_is_unavailable(client: EmbeddingClient) -> None:
    with pytest.raises(Unavailable, match="start a worker"):
        await client.rate("?", ["x"], timeout_s=0.05)


async def test_each_of_many_concurrent_calls_gets_its_own_vectors(
    address: RedisAddress, client: EmbeddingClient
) -> None:
    async with new_server(address, FakeEngine()), new_server(address, FakeEngine()):
        found = await asyncio.gather(*(_embed_patiently(client, [str(number), "5"]) for number in range(200)))
    assert [[float(number), 5.0] for number in range(200)] == [[vector[1] for vector in one] for one in found]


async def _embed_patiently(client: EmbeddingClient, texts: list[str]) -> list[list[float]]:
    """Embed, again if a busy machine kept Redis waiting for longer than anybody waits for it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(Unavailable):
                return await client.embed(texts)
            await asyncio.sleep(0.2)


async def test_two_processes_receive_their_own_responses(
    address: RedisAddress, redis_client: RedisClient, client: EmbeddingClient
) -> None:
    async with (
        new_server(address, FakeEngine()),
        EmbeddingClient(address, redis_client, process=process_name()) as other,
    ):
        ours, theirs = await asyncio.gather(client.embed(["1"]), other.embed(["2"]))
    assert ([[1.0, 1.0]], [[1.0, 2.0]]) == (ours, theirs)


async def test_without_a_worker_embedding_is_unavailable_after_the_timeout(client: EmbeddingClient) -> None:
    with pytest.raises(Unavailable, match="No worker embedded the text"):
        await client.embed(["1"], timeout_s=0.1)


async def test_an_expired_request_is_dropped(
    address: RedisAddress, redis_client: RedisClient, client: EmbeddingClient
) -> None:
    with pytest.raises(Unavailable):
        await client.embed(["1"], timeout_s=0.05)
    engine = FakeEngine()
    async with new_server(address, engine):
        assert [[1.0, 2.0]] == await client.embed(["2"])
    assert [["2"]] == [texts for texts, _ in engine.calls]


async def test_a_queue_without_workers_expires(redis_client: RedisClient, client: EmbeddingClient) -> None:
    with pytest.raises(Unavailable):
        await client.embed(["1"], timeout_s=0.05)
    assert 0 < await redis_client.call("TTL", queue_key()) <= 60


async def test_with_a_full_queue_embedding_is_unavailable_at_once(
    redis_client: RedisClient, client: EmbeddingClient
) -> None:
    await redis_client.call("LPUSH", queue_key(), *["x"] * MAX_QUEUED)
    with pytest.raises(Unavailable, match="Too many texts are waiting"):
        await client.embed(["1"], timeout_s=60)
    assert [MAX_QUEUED, b"x"] == await redis_client.send([("LLEN", queue_key()), ("LINDEX", queue_key(), 0)])


async def test_without_redis_embedding_is_unavailable(unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.embedding.client.SUBSCRIBE_TIMEOUT_S", 0.05)
    unreachable = RedisAddress(port=unused_tcp_port)
    async with (
        new_server(unreachable, FakeEngine()),
        EmbeddingClient(unreachable, RedisClient(unreachable), process="p") as client,
    ):
        with pytest.raises(Unavailable, match="Redis does not answer"):
            await client.embed(["1"])


async def test_the_servers_connections_are_reopened(
    address: RedisAddress, redis_client: RedisClient, client: EmbeddingClient
) -> None:
    async with new_server(address, FakeEngine()):
        await client.embed(["1"])
        await redis_client.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await redis_client.call("CLIENT", "KILL", "TYPE", "pubsub")
        with contextlib.suppress(Unavailable):  # an answer can be lost with the connection that it was to come by
            await client.embed(["2"], timeout_s=1)
        assert [[1.0, 3.0]] == await client.embed(["3"], timeout_s=PATIENCE_S)


async def test_malformed_requests_are_logged_and_dropped(
    address: RedisAddress, redis_client: RedisClient, client: EmbeddingClient
) -> None:
    soon = time.time() + 60
    requests: tuple[Any, ...] = (
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
    await redis_client.call("LPUSH", queue_key(), *requests)
    engine = FakeEngine()
    with capture_logs() as logs:
        async with new_server(address, engine):
            assert [[1.0, 2.0]] == await client.embed(["2"])
    assert [["2"]] == [texts for texts, _ in engine.calls]
    assert ["embedding_request_malformed"] * len(requests) == [line["event"] for line in logs]


async def test_malformed_responses_are_dropped(address: RedisAddress, redis_client: RedisClient) -> None:
    async with EmbeddingClient(address, redis_client, process="heard") as client, new_server(address, FakeEngine()):
        await client.embed(["1"])
        for answer in (b"", b"\xc1", encode([99]), encode([99, "x"]), encode("text")):
            await redis_client.call("PUBLISH", redis_names.embedding_responses("heard"), answer)
        assert [[1.0, 2.0]] == await client.embed(["2"])


async def test_too_many_texts_are_refused_before_a_request_is_sent(
    redis_client: RedisClient, client: EmbeddingClient
) -> None:
    with pytest.raises(InputError) as refused:
        await client.embed(["1"] * (MAX_TEXTS + 1))
    assert "input" == refused.value.field
    assert [0, 0] == await redis_client.send([("LLEN", queue_key("query")), ("LLEN", queue_key("bulk"))])


@pytest.mark.parametrize(("text", "code"), [("bad", "model_unknown"), ("broken", "internal")])
async def test_a_workers_error_reaches_the_caller(
    address: RedisAddress, client: EmbeddingClient, text: str, code: str
) -> None:
    async with new_server(address, FakeEngine()):
        with pytest.raises(EmbeddingFailed) as failed:
            await client.embed([text])
        assert code == failed.value.code
        assert [[1.0, 2.0]] == await client.embed(["2"])


class FakeProvider:
    """A provider; `slow` never answers."""

    def __init__(self, *, slow: bool = False) -> None:
        self.slow = slow

    async def embed(self, texts: Sequence[str], model: str) -> list[list[float]]:
        if self.slow:
            await asyncio.Event().wait()
        return [[3.0, 4.0] for _ in texts]


async def test_a_hosted_model_is_called_directly(client: EmbeddingClient) -> None:
    found = await client.embed(["1", "2"], embedder="ollama/bge-m3", get_provider=lambda name: FakeProvider())
    assert [pytest.approx([0.6, 0.8])] * 2 == found


async def test_a_slow_provider_times_out(client: EmbeddingClient) -> None:
    with pytest.raises(ProviderTimeout):
        await client.embed(
            ["1"], embedder="ollama/m", get_provider=lambda name: FakeProvider(slow=True), timeout_s=0.05
        )


class RealEngine:
    """all-MiniLM-L6-v2, batched, as in a worker."""

    def __init__(self) -> None:
        self.batcher = Batcher(open_embedder())

    async def embed(self, texts: Sequence[str], *, purpose: Purpose, embedder: str, lane: str) -> list[list[float]]:
        return await self.batcher.embed(texts, lane=lane, purpose=purpose)


async def test_the_real_engine_gives_the_same_vectors_as_without_redis(
    address: RedisAddress, client: EmbeddingClient
) -> None:
    texts, engine = ["Where is the container?", "Công nợ bao nhiêu?"], RealEngine()
    async with EmbeddingServer(address, engine):
        found = await client.embed(texts)
    assert await engine.batcher.embed(texts) == found
    await engine.batcher.aclose()


async def test_vectors_of_different_models_are_not_mixed(address: RedisAddress, client: EmbeddingClient) -> None:
    class OtherEngine(FakeEngine):
        async def embed(self, texts: Sequence[str], **options: Any) -> list[list[float]]:
            return [[1.0] * len(texts) for _ in texts]

    async with new_server(address, OtherEngine()):
        with pytest.raises(Unavailable, match="different embedding models"):
            await client.embed([str(number) for number in range(MAX_REQUEST_TEXTS + 1)])


def test_a_request_is_small_on_the_wire() -> None:
    request = EmbeddingRequest(1, "host:1:abcd", ["hello"], "query", "minilm", "", 1.0)
    assert len(encode(request)) < 60

"""Embedding in a process without model weights: texts are sent to workers over Redis; hosted models are called directly.

A caller waits for every response, so nothing is kept for later: without Redis, without a worker, or with a full queue,
Unavailable is raised soon. The other side is `workers/embedding/server.py`.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import structlog

from graphs.embeddings.hosted import split_batches
from graphs.embeddings.purposes import Purpose
from graphs.embeddings.registry import DEFAULT, is_local, open_embedder
from graphs.embeddings.spans import embedding_span
from graphs.embeddings.texts import clean
from graphs.providers.calls.log import noted_embedding
from graphs.providers.errors import ProviderTimeout
from schema import redis_names
from schema.errors import HeadraceError, InputError, Unavailable
from workers.embedding.protocol import (
    MALFORMED,
    MAX_QUERY_CHARS,
    MAX_QUERY_TEXTS,
    MAX_QUEUED,
    MAX_REQUEST_CHARS,
    MAX_REQUEST_TEXTS,
    EmbeddingError,
    EmbeddingQueue,
    EmbeddingRequest,
    EmbeddingResponse,
    decode_response,
    encode,
    unpack_vectors,
)
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import ReplyError
from workers.stream.pubsub import Subscriber

TIMEOUT_S = 5.0
RATE_TIMEOUT_S = 30.0
"""A cross-encoder takes a second or more for the passages of one search, and seconds to load at its first use."""
MAX_CONCURRENT_REQUESTS = 4
"""Pending requests of one call: enough for a few workers, without filling the queue with one call."""
MAX_TEXTS = 2048
SUBSCRIBE_TIMEOUT_S = 2.0
QUEUE_TTL_S = 60
"""After this long without a new request, a queue is deleted."""

log = structlog.get_logger()

GetProvider = Callable[[str], object]


class EmbeddingFailed(HeadraceError):
    """A worker failed to embed; code and message are those of its error."""

    def __init__(self, error: EmbeddingError) -> None:
        super().__init__(error.message)
        self.code = error.code


class EmbeddingClient:
    """`async with EmbeddingClient(address, redis, process=…) as client:`, once per process.

    `process` is the process's unique name (`workers.queue.job_core.process_name`), `default` the installation's
    embedder, and `get_provider` the deployment's `Providers.get`.
    """

    def __init__(
        self,
        address: RedisAddress,
        redis: RedisClient,
        *,
        process: str,
        default: str = DEFAULT,
        get_provider: GetProvider | None = None,
    ) -> None:
        self.default = default
        self._redis, self._process, self._get_provider = redis, process, get_provider
        self._channel = redis_names.embedding_responses(process)
        self._subscriber = Subscriber(address, self._on_message)
        self._ids = itertools.count(1)
        self._pending: dict[int, asyncio.Future[EmbeddingResponse]] = {}

    async def __aenter__(self) -> "EmbeddingClient":
        self._subscriber.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._subscriber.close()
        for future in self._pending.values():
            future.cancel()

    async def embed(
        self,
        texts: Sequence[str],
        *,
        purpose: Purpose = "query",
        embedder: str | None = None,
        lane: str = "",
        timeout_s: float = TIMEOUT_S,
        get_provider: GetProvider | None = None,
    ) -> list[list[float]]:
        """Return one vector per text, in order. `embedder` is a name that `open_embedder` knows; None is the installation's.

        `lane` is the unit of fair sharing, such as a tenant. `timeout_s` is per `MAX_REQUEST_TEXTS` texts. `get_provider` is
        the tenant's, for a hosted model. Raises Unavailable, InputError for more than MAX_TEXTS texts, EmbeddingFailed, and
        for a hosted model its provider's errors.
        """
        if len(texts) > MAX_TEXTS:
            raise InputError(f"input has {len(texts)} texts; the maximum is {MAX_TEXTS}.", field="input")
        name = embedder or self.default
        if not texts:
            return []
        if is_local(name):
            return await self._embed_local(texts, purpose, name, lane, timeout_s)
        provider = name.partition("/")[0]
        get, own = get_provider or self._get_provider, self._get_provider
        noted = name == self.default and get and own and get(provider) is own(provider)
        with noted_embedding() if noted else nullcontext():
            return await self._embed_hosted(texts, purpose, name, timeout_s, get)

    async def _embed_hosted(
        self, texts: Sequence[str], purpose: Purpose, name: str, timeout_s: float, get_provider: GetProvider | None
    ) -> list[list[float]]:
        opened = open_embedder(name, get_provider)
        limit_s = timeout_s * -(-len(texts) // MAX_REQUEST_TEXTS)
        try:
            async with asyncio.timeout(limit_s):
                return await opened.embed(texts, purpose)
        except TimeoutError as error:
            raise ProviderTimeout(f"{opened.engine} sent no embeddings within {limit_s:g} s.") from error

    async def rate(
        self, query: str, texts: Sequence[str], *, lane: str = "", timeout_s: float = RATE_TIMEOUT_S
    ) -> list[float]:
        """Return how well each text answers the query, 0–1, in order, by the workers' cross-encoder. Raises as `embed`."""
        if not texts:
            return []
        ratings = await self._request_all("query", texts, "query", "", lane, timeout_s, query=clean(query))
        return [rating for (rating,) in ratings]

    async def _embed_local(
        self, texts: Sequence[str], purpose: Purpose, name: str, lane: str, timeout_s: float
    ) -> list[list[float]]:
        short = len(texts) <= MAX_QUERY_TEXTS and sum(map(len, texts)) <= MAX_QUERY_CHARS
        with embedding_span(name, len(texts)):
            return await self._request_all("query" if short else "bulk", texts, purpose, name, lane, timeout_s)

    async def _request_all(
        self,
        queue: EmbeddingQueue,
        texts: Sequence[str],
        purpose: Purpose,
        name: str,
        lane: str,
        timeout_s: float,
        *,
        query: str | None = None,
    ) -> list[list[float]]:
        if not await self._subscriber.subscribe(self._channel, timeout_s=SUBSCRIBE_TIMEOUT_S):
            raise _redis_unavailable()
        slots = asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)

        async def send(batch: Sequence[str]) -> EmbeddingResponse:
            async with slots:
                request_id, deadline = next(self._ids), time.time() + timeout_s
                request = EmbeddingRequest(request_id, self._process, list(batch), purpose, name, lane, deadline, query)
                return await self._request(queue, request, timeout_s)

        batches = split_batches(
            [clean(text) for text in texts], max_texts=MAX_REQUEST_TEXTS, max_chars=MAX_REQUEST_CHARS
        )
        tasks = [asyncio.ensure_future(send(batch)) for batch in batches]
        try:
            return _join_vectors(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    async def _request(self, queue: EmbeddingQueue, request: EmbeddingRequest, timeout_s: float) -> EmbeddingResponse:
        future = self._pending[request.id] = asyncio.get_running_loop().create_future()
        try:
            await self._push(redis_names.embedding_requests(queue), encode(request))
            async with asyncio.timeout(timeout_s):
                response = await future
        except TimeoutError as error:
            raise Unavailable(
                f"No worker embedded the text within {timeout_s:g} s: no ingestion worker is running, or all are busy. "
                "Retry in a moment, or start a worker."
            ) from error
        finally:
            del self._pending[request.id]
        if response.error is not None:
            raise EmbeddingFailed(response.error)
        return response

    async def _push(self, key: str, request: bytes) -> None:
        """Add to the queue, up to its limit: the newest request is trimmed, which is ours if the queue was full."""
        commands = [("LPUSH", key, request), ("LTRIM", key, -MAX_QUEUED, -1), ("EXPIRE", key, QUEUE_TTL_S)]
        try:
            length, *_ = await self._redis.send(commands)
        except RedisUnavailable as error:
            raise _redis_unavailable() from error
        if isinstance(length, ReplyError):
            log.warning("embedding_request_failed", error=str(length).partition(" ")[0])
            raise _redis_unavailable()
        if length > MAX_QUEUED:
            raise Unavailable("Too many texts are waiting to be embedded. Retry in a moment, or start more workers.")

    def _on_message(self, channel: str, data: bytes) -> None:
        try:
            response = decode_response(data)
        except MALFORMED as error:
            log.warning("embedding_response_malformed", error=type(error).__name__)
            return
        future = self._pending.get(response.id)
        if future is not None and not future.done():
            future.set_result(response)


def _redis_unavailable() -> Unavailable:
    return Unavailable("Embedding is unavailable: Redis does not answer. Retry in a moment.")


def _join_vectors(responses: Sequence[EmbeddingResponse]) -> list[list[float]]:
    if len({response.dimensions for response in responses}) > 1:  # workers of two versions, during a deployment
        raise Unavailable(
            "Workers use different embedding models at the moment. Retry when all have the same settings."
        )
    return [vector for response in responses for vector in unpack_vectors(response)]

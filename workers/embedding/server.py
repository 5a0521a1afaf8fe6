"""Embeds and re-ranks for processes without model weights: takes requests from Redis and publishes the responses.

A worker runs one beside its other work, for the queues that suit it: chat workers serve `query`, ingestion workers `bulk`.
Each queue has its own connection, which blocks, and a limit of concurrent requests; others wait in Redis for another worker.
A request whose deadline has passed is dropped, and a malformed one is logged and dropped. The clocks of all machines must
agree within a second or two.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Protocol

import structlog

from graphs.embeddings.purposes import Purpose
from graphs.providers.errors import ModelUnknown
from schema import redis_names
from schema.errors import HeadraceError
from workers.embedding.protocol import (
    MALFORMED,
    EmbeddingError,
    EmbeddingQueue,
    EmbeddingRequest,
    EmbeddingResponse,
    decode_request,
    encode,
    pack_vectors,
)
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import RETRY_DELAY_S, ReplyError
from workers.retrieval.reranking import Reranker

POP_TIMEOUT_S = 2
CONCURRENCY: dict[EmbeddingQueue, int] = {"query": 16, "bulk": 2}
"""Concurrent requests per queue: enough to fill batches, and few enough to leave some to other workers."""
CLOSE_TIMEOUT_S = 5.0

log = structlog.get_logger()


class EmbeddingEngine(Protocol):
    """Embeds texts; `workers.embedding.pool.EmbedderPool`."""

    async def embed(self, texts: Sequence[str], *, purpose: Purpose, embedder: str, lane: str) -> list[list[float]]:
        """Return one vector per text. HeadraceErrors are passed on to the caller."""
        ...


class EmbeddingServer:
    """`async with EmbeddingServer(address, embedders, queues=("query",)):` serves until the block is left, and then finishes
    the running requests. Without a `reranker`, requests for ratings fail."""

    def __init__(
        self,
        address: RedisAddress,
        embedders: EmbeddingEngine,
        *,
        queues: Sequence[EmbeddingQueue] = ("query",),
        reranker: Reranker | None = None,
    ) -> None:
        self._address, self._embedders, self._queues, self._reranker = address, embedders, queues, reranker
        self._redis = RedisClient(address)
        self._stack = AsyncExitStack()
        self._closing = False
        self._client_ids: dict[EmbeddingQueue, int] = {}
        self._serving: list[asyncio.Task[None]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "EmbeddingServer":
        self._stack.push_async_callback(self._redis.close)
        for queue in self._queues:
            redis = RedisClient(self._address, blocks_s=POP_TIMEOUT_S)
            self._stack.push_async_callback(redis.close)
            self._serving.append(
                asyncio.get_running_loop().create_task(self._serve(queue, redis), name=f"embed-{queue}")
            )
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._closing = True
        await self._unblock()
        _, late = await asyncio.wait({*self._serving, *self._running}, timeout=CLOSE_TIMEOUT_S)
        for task in {*late, *self._running}:
            task.cancel()
        await asyncio.gather(*late, *self._running, return_exceptions=True)
        await self._stack.aclose()

    async def _unblock(self) -> None:
        """Make Redis answer the blocking pops now. Closing their connections instead could lose a request."""
        try:
            for client_id in self._client_ids.values():
                await self._redis.call("CLIENT", "UNBLOCK", client_id)
        except (RedisUnavailable, ReplyError):
            log.info("embedding_server_closed_without_redis")

    async def _serve(self, queue: EmbeddingQueue, redis: RedisClient) -> None:
        slots = asyncio.Semaphore(CONCURRENCY[queue])
        while not self._closing:
            await slots.acquire()
            try:
                data = await self._pop(queue, redis)
            except (RedisUnavailable, ReplyError) as error:
                log.warning("embedding_server_disconnected", queue=queue, error=type(error).__name__)
                await asyncio.sleep(RETRY_DELAY_S)
                data = None
            if data is None:
                slots.release()
                continue
            task = asyncio.get_running_loop().create_task(self._handle(queue, data))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            task.add_done_callback(lambda _: slots.release())

    async def _pop(self, queue: EmbeddingQueue, redis: RedisClient) -> bytes | None:
        self._client_ids[queue] = await redis.call("CLIENT", "ID")
        if self._closing:
            return None
        popped = await redis.call("BRPOP", redis_names.embedding_requests(queue), POP_TIMEOUT_S)
        return None if popped is None else popped[1]

    async def _handle(self, queue: EmbeddingQueue, data: bytes) -> None:
        try:
            request = decode_request(data)
        except MALFORMED as error:
            log.warning("embedding_request_malformed", queue=queue, error=type(error).__name__, size=len(data))
            return
        if request.deadline < time.time():
            log.info("embedding_request_expired", queue=queue)
            return
        response = await self._respond(queue, request)
        try:
            await self._redis.call("PUBLISH", redis_names.embedding_responses(request.process), encode(response))
        except (RedisUnavailable, ReplyError) as error:
            log.warning("embedding_response_lost", queue=queue, error=type(error).__name__)

    async def _respond(self, queue: EmbeddingQueue, request: EmbeddingRequest) -> EmbeddingResponse:
        try:
            vectors = await self._compute(queue, request)
        except HeadraceError as error:
            return EmbeddingResponse(request.id, error=EmbeddingError(error.code, error.message))
        except Exception:  # report any failure: the caller must not wait in vain
            log.exception("embedding_failed", queue=queue, texts=len(request.texts))
            message = "The texts could not be embedded. See the worker's log."
            return EmbeddingResponse(request.id, error=EmbeddingError("internal", message))
        return pack_vectors(request.id, vectors)

    async def _compute(self, queue: EmbeddingQueue, request: EmbeddingRequest) -> list[list[float]]:
        if request.query is None:
            return await self._embedders.embed(
                request.texts, purpose=request.purpose, embedder=request.embedder, lane=f"{queue}/{request.lane}"
            )
        if self._reranker is None:
            raise ModelUnknown("The workers have no cross-encoder. Set HEADRACE_RERANKER for them too.")
        return [[rating] for rating in await self._reranker.rate(request.query, request.texts)]

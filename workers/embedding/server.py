"""Embeds and re-ranks for processes that have no weights: takes asks from Redis, answers on the asker's channel.

A worker runs one beside its other work, for the lanes that suit it: chat workers `query`, ingestion workers
`bulk`. Each lane has a connection of its own, because it blocks there, and a bound of asks under way; what is beyond waits in
Redis for another worker. An ask whose deadline has passed is dropped, and one that can't be read is logged and dropped.
Clocks of machines must agree within a second or two.
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
    EmbeddingRequest,
    EmbeddingResponse,
    Lane,
    Refusal,
    decode_request,
    encode,
    packed,
)
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import RETRY_DELAY_S, RedisAddress, ReplyError
from workers.retrieval.reranking import Reranker

POP_S = 2  # shorter than a wire's patience
UNDER_WAY: dict[Lane, int] = {"query": 16, "bulk": 2}
"""Asks of a lane that are under way at once: enough for the batcher to gather, few enough to leave some to others."""
GRACE_S = 5.0

log = structlog.get_logger()


class Embeds(Protocol):
    """What embeds here: `workers.embedding.pool.Embedders`."""

    async def embed(self, texts: Sequence[str], *, purpose: Purpose, embedder: str, lane: str) -> list[list[float]]:
        """One vector per text. Raises HeadraceErrors, which are passed on to whoever asked."""
        ...


class EmbeddingServer:
    """`async with EmbeddingServer(address, embedders, lanes=("query",)):` serves until the block is left; asks that
    are under way then are answered first. Without a `reranker` nothing is rated."""

    def __init__(
        self,
        address: RedisAddress,
        embedders: Embeds,
        *,
        lanes: Sequence[Lane] = ("query",),
        reranker: Reranker | None = None,
    ) -> None:
        self._address, self._embedders, self._lanes, self._reranker = address, embedders, lanes, reranker
        self._answers = RedisClient(address)
        self._stack = AsyncExitStack()
        self._closing = False
        self._blocked: dict[Lane, int] = {}
        self._serving: list[asyncio.Task[None]] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "EmbeddingServer":
        self._stack.push_async_callback(self._answers.close)
        for lane in self._lanes:
            pops = RedisClient(self._address)
            self._stack.push_async_callback(pops.close)
            self._serving.append(asyncio.get_running_loop().create_task(self._serve(lane, pops), name=f"embed-{lane}"))
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._closing = True
        await self._unblock()
        _, late = await asyncio.wait({*self._serving, *self._under_way}, timeout=GRACE_S)
        for task in {*late, *self._under_way}:
            task.cancel()
        await asyncio.gather(*late, *self._under_way, return_exceptions=True)
        await self._stack.aclose()

    async def _unblock(self) -> None:
        """Have Redis answer the waiting pops now. To drop the connections instead would lose an ask now and then."""
        try:
            for number in self._blocked.values():
                await self._answers.call("CLIENT", "UNBLOCK", number)
        except (RedisUnavailable, ReplyError):
            log.info("embedding_server_closes_without_redis")

    async def _serve(self, lane: Lane, pops: RedisClient) -> None:
        slots = asyncio.Semaphore(UNDER_WAY[lane])
        while not self._closing:
            await slots.acquire()
            try:
                data = await self._pop(lane, pops)
            except (RedisUnavailable, ReplyError) as error:
                log.warning("embedding_server_waits", lane=lane, error=type(error).__name__)
                await asyncio.sleep(RETRY_DELAY_S)
                data = None
            if data is None:
                slots.release()
                continue
            task = asyncio.get_running_loop().create_task(self._handle(lane, data))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            task.add_done_callback(lambda _: slots.release())

    async def _pop(self, lane: Lane, pops: RedisClient) -> bytes | None:
        self._blocked[lane] = await pops.call("CLIENT", "ID")
        if self._closing:
            return None
        popped = await pops.call("BRPOP", redis_names.embedding_requests(lane), POP_S)
        return None if popped is None else popped[1]

    async def _handle(self, lane: Lane, data: bytes) -> None:
        try:
            ask = decode_request(data)
        except MALFORMED as error:
            log.warning("embedding_ask_malformed", lane=lane, error=type(error).__name__, size=len(data))
            return
        if ask.deadline < time.time():
            log.info("embedding_ask_late", lane=lane)
            return
        answer = await self._answer(lane, ask)
        try:
            await self._answers.call("PUBLISH", redis_names.embedding_answers(ask.process), encode(answer))
        except (RedisUnavailable, ReplyError) as error:
            log.warning("embedding_answer_lost", lane=lane, error=type(error).__name__)

    async def _answer(self, lane: Lane, ask: EmbeddingRequest) -> EmbeddingResponse:
        try:
            vectors = await self._vectors(lane, ask)
        except HeadraceError as error:
            return EmbeddingResponse(ask.id, refusal=Refusal(error.code, error.message))
        except Exception:  # an edge: whoever asked must not wait for nothing
            log.exception("embedding_failed", lane=lane, texts=len(ask.texts))
            return EmbeddingResponse(
                ask.id, refusal=Refusal("internal", "The texts could not be embedded; the worker's log says why.")
            )
        return packed(ask.id, vectors)

    async def _vectors(self, lane: Lane, ask: EmbeddingRequest) -> list[list[float]]:
        if ask.query is None:
            return await self._embedders.embed(
                ask.texts, purpose=ask.purpose, embedder=ask.embedder, lane=f"{lane}/{ask.lane}"
            )
        if self._reranker is None:
            raise ModelUnknown("The workers have no cross-encoder. Set HEADRACE_RERANKER for them too.")
        return [[rating] for rating in await self._reranker.rate(ask.query, ask.texts)]

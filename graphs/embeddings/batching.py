"""Batches the texts of many callers: whatever arrives while one call runs goes into the next.

    lane a: ▒▒▒▒▒▒▒▒▒▒▒▒ ┐
    lane b: ▒            ├─ one text of each lane in turn ─▶ [a b c a c a c …] ─▶ one call ─▶ each vector to its caller
    lane c: ▒▒▒▒         ┘

Natural batching, as in the relay: nobody waits for a batch to fill. Lanes (a tenant, a job) share equally: one with 10,000
texts delays another's question by the call that is running, and no more. Per process and in memory: if it dies, so do the
callers that wait.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from graphs.embeddings import hosted
from graphs.embeddings.local_model import BATCH_TOKENS
from graphs.embeddings.purposes import Purpose
from graphs.embeddings.registry import OpenEmbedder
from graphs.embeddings.spans import embedding_span

LOCAL_BATCH_TEXTS = 16
LOCAL_BATCH_CHARS = BATCH_TOKENS * 5
"""A local call takes at most about a tenth of a second, two or three chunks, so that questions get in between. Larger ones
would not be faster (`local_model.BATCH_TOKENS`)."""
MAX_LENGTH_RATIO, SHORT_TEXT_CHARS = 4, 200
"""A local call has no texts whose lengths differ by more than this ratio, so that a question doesn't wait for chunks in its
batch. Texts of up to SHORT_TEXT_CHARS count as equally long."""
HOSTED_CONCURRENCY = 4


@dataclass(slots=True, eq=False)
class _Call:
    """One caller: its texts, sent in the order of their lengths (less padding is faster), the next one to send, and the
    vectors so far."""

    lane: str
    texts: Sequence[str]
    purpose: Purpose
    done: asyncio.Future[None]
    vectors: list[list[float]] = field(init=False)
    order: list[int] = field(init=False)
    next: int = 0
    missing: int = field(init=False)

    def __post_init__(self) -> None:
        self.vectors, self.missing = [[] for _ in self.texts], len(self.texts)
        self.order = sorted(range(len(self.texts)), key=lambda index: len(self.texts[index]))

    def receive(self, indices: Sequence[int], vectors: Sequence[list[float]]) -> None:
        for index, vector in zip(indices, vectors, strict=True):
            self.vectors[index] = vector
        self.missing -= len(indices)
        if not self.missing and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


_Batch = dict[_Call, list[int]]
"""Callers, and the indices of their texts in the batch."""


class Batcher:
    """One embedder for all callers of an event loop. `concurrency` is how many calls run at once.

    `max_texts` and `max_chars` limit one call; a longer text gets a call of its own. The defaults are small for local
    engines, larger for providers.
    """

    def __init__(
        self,
        embedder: OpenEmbedder,
        *,
        max_texts: int | None = None,
        max_chars: int | None = None,
        concurrency: int | None = None,
    ) -> None:
        self.embedder = embedder
        self._max_texts = max_texts or (hosted.MAX_TEXTS if embedder.hosted else LOCAL_BATCH_TEXTS)
        self._max_chars = max_chars or (hosted.MAX_CHARS if embedder.hosted else LOCAL_BATCH_CHARS)
        self._concurrency = concurrency or (HOSTED_CONCURRENCY if embedder.hosted else 1)
        self._lanes: dict[str, deque[_Call]] = {}
        self._lane_order: deque[str] = deque()
        self._pending: set[_Call] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = 0

    async def embed(self, texts: Sequence[str], *, lane: str = "", purpose: Purpose = "query") -> list[list[float]]:
        """As `OpenEmbedder.embed`. A failed call is retried for each of its callers alone; a caller that fails again gets the
        error. A cancelled caller's waiting texts are dropped."""
        if not texts:
            return []
        call = _Call(lane, texts, purpose, asyncio.get_running_loop().create_future())
        self._enqueue(call)
        try:
            with embedding_span(f"{self.embedder.engine}/{self.embedder.model}", len(texts)):
                await call.done
        finally:
            self._pending.discard(call)
            self._dequeue(call)
        return call.vectors

    async def aclose(self) -> None:
        """Stop running calls and cancel waiting callers."""
        for call in self._pending:
            call.done.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _enqueue(self, call: _Call) -> None:
        if call.lane not in self._lanes:
            self._lanes[call.lane] = deque()
            self._lane_order.append(call.lane)
        self._lanes[call.lane].append(call)
        self._pending.add(call)
        if self._running < self._concurrency:
            self._running += 1
            task = asyncio.get_running_loop().create_task(self._work(), name="embedding-batches")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _dequeue(self, call: _Call) -> None:
        """Remove a caller from its lane, and the lane if it is empty."""
        waiting = self._lanes.get(call.lane)
        if waiting is None:
            return
        if call in waiting:
            waiting.remove(call)
        if not waiting:
            del self._lanes[call.lane]
            self._lane_order.remove(call.lane)

    async def _work(self) -> None:
        try:
            while batch := self._next_batch():
                await self._embed(batch)
        finally:
            self._running -= 1

    def _next_batch(self) -> _Batch:
        """Take one text from each lane in turn until the batch is full."""
        batch: _Batch = {}
        texts = chars = 0
        while self._lane_order and texts < self._max_texts:
            call = self._lanes[self._lane_order[0]][0]
            index = call.order[call.next]
            length = len(call.texts[index])
            if texts and (chars + length > self._max_chars or self._differs_in_length(chars // texts, length)):
                break
            if texts and self.embedder.by_purpose and call.purpose != next(iter(batch)).purpose:
                break
            self._lane_order.rotate(-1)
            batch.setdefault(call, []).append(index)
            texts, chars, call.next = texts + 1, chars + length, call.next + 1
            if call.next == len(call.texts):
                self._dequeue(call)
        return batch

    def _differs_in_length(self, typical: int, length: int) -> bool:
        short, long = sorted((typical, length))
        return not self.embedder.hosted and long > MAX_LENGTH_RATIO * max(short, SHORT_TEXT_CHARS)

    async def _embed(self, batch: _Batch) -> None:
        try:
            await self._send(batch)
        except Exception as error:  # noqa: BLE001 -- it is passed to the caller
            if len(batch) == 1:
                self._fail(next(iter(batch)), error)
                return
            for call, indices in batch.items():
                await self._send_alone(call, indices)

    async def _send_alone(self, call: _Call, indices: list[int]) -> None:
        if call.done.done():
            return
        try:
            await self._send({call: indices})
        except Exception as error:  # noqa: BLE001 -- it is passed to the caller
            self._fail(call, error)

    async def _send(self, batch: _Batch) -> None:
        prepare, purpose = self.embedder.prepare, next(iter(batch)).purpose
        texts = [prepare(call.texts[index], call.purpose) for call, indices in batch.items() for index in indices]
        vectors = iter(await self.embedder.embed_prepared(texts, purpose))
        for call, indices in batch.items():
            call.receive(indices, [next(vectors) for _ in indices])

    def _fail(self, call: _Call, error: Exception) -> None:
        call.fail(error)
        self._dequeue(call)

"""Texts of many callers in few calls: whatever has come while one call runs goes into the next.

    lane a: ▒▒▒▒▒▒▒▒▒▒▒▒ ┐
    lane b: ▒            ├─ one text of each lane in turn ─▶ [a b c a c a c …] ─▶ one call ─▶ each vector to its caller
    lane c: ▒▒▒▒         ┘

Natural batching, as in the relay: nobody waits for a batch to fill. A lane is whoever shares alike (a tenant, a job): one
with 10,000 texts delays another's question by the call that runs now, and no more. Per process, in memory only: callers
wait for their vectors, and what waits is theirs.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from graphs.embeddings import hosted
from graphs.embeddings.minilm import BATCH_TOKENS
from graphs.embeddings.purposes import Purpose
from graphs.embeddings.registry import OpenEmbedder

LOCAL_TEXTS = 16
LOCAL_CHARS = BATCH_TOKENS * 5
"""On this machine a call is kept to about a tenth of a second, so that a question gets in: two or three chunks. More at
once would not be faster (`minilm.BATCH_TOKENS`)."""
UNLIKE, SHORT = 4, 200
"""A local call holds no text that is so many times as long or short as the others, so that a question does not wait for
the chunks beside it; texts of up to SHORT characters are alike."""
HOSTED_PARALLEL = 4


@dataclass(slots=True, eq=False)
class _Call:
    """One caller: its texts, in the order of their lengths (what is padded least is fastest), the next to be sent, and the
    vectors that are there."""

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
        self.order = sorted(range(len(self.texts)), key=lambda place: len(self.texts[place]))

    def take(self, places: Sequence[int], vectors: Sequence[list[float]]) -> None:
        for place, vector in zip(places, vectors, strict=True):
            self.vectors[place] = vector
        self.missing -= len(places)
        if not self.missing and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


_Batch = dict[_Call, list[int]]
"""Callers, and which of their texts are in a batch."""


class Batcher:
    """One embedder for all callers of an event loop. `parallel` is how many calls run at once.

    `most_texts` and `most_chars` bound one call; a longer text has a call of its own. By default few for engines that run
    here, more for a provider.
    """

    def __init__(
        self,
        embedder: OpenEmbedder,
        *,
        most_texts: int | None = None,
        most_chars: int | None = None,
        parallel: int | None = None,
    ) -> None:
        self.embedder = embedder
        self._most_texts = most_texts or (hosted.MOST_TEXTS if embedder.hosted else LOCAL_TEXTS)
        self._most_chars = most_chars or (hosted.MOST_CHARS if embedder.hosted else LOCAL_CHARS)
        self._parallel = parallel or (HOSTED_PARALLEL if embedder.hosted else 1)
        self._lanes: dict[str, deque[_Call]] = {}
        self._turns: deque[str] = deque()
        self._open: set[_Call] = set()
        self._workers: set[asyncio.Task[None]] = set()
        self._working = 0

    async def embed(self, texts: Sequence[str], *, lane: str = "", purpose: Purpose = "query") -> list[list[float]]:
        """As `OpenEmbedder.embed`. A call that fails is made again for each of its callers alone, and whoever fails then
        gets the error, for all of its texts; one that is cancelled takes its waiting texts with it."""
        if not texts:
            return []
        call = _Call(lane, texts, purpose, asyncio.get_running_loop().create_future())
        self._enter(call)
        try:
            await call.done
        finally:
            self._open.discard(call)
            self._leave(call)
        return call.vectors

    async def aclose(self) -> None:
        """Stop what runs. Whoever still waits is cancelled."""
        for call in self._open:
            call.done.cancel()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def _enter(self, call: _Call) -> None:
        if call.lane not in self._lanes:
            self._lanes[call.lane] = deque()
            self._turns.append(call.lane)
        self._lanes[call.lane].append(call)
        self._open.add(call)
        if self._working < self._parallel:
            self._working += 1
            worker = asyncio.get_running_loop().create_task(self._work(), name="embedding-batches")
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    def _leave(self, call: _Call) -> None:
        """Take a caller out of its lane, if texts of it still wait there, and a lane that is empty out of the turns."""
        waiting = self._lanes.get(call.lane)
        if waiting is None:
            return
        if call in waiting:
            waiting.remove(call)
        if not waiting:
            del self._lanes[call.lane]
            self._turns.remove(call.lane)

    async def _work(self) -> None:
        try:
            while batch := self._gather():
                await self._embed(batch)
        finally:
            self._working -= 1

    def _gather(self) -> _Batch:
        """Take one text of each lane in turn until a call is full."""
        batch: _Batch = {}
        texts = chars = 0
        while self._turns and texts < self._most_texts:
            call = self._lanes[self._turns[0]][0]
            place = call.order[call.next]
            length = len(call.texts[place])
            if texts and (chars + length > self._most_chars or self._unlike(chars // texts, length)):
                break
            self._turns.rotate(-1)
            batch.setdefault(call, []).append(place)
            texts, chars, call.next = texts + 1, chars + length, call.next + 1
            if call.next == len(call.texts):
                self._leave(call)
        return batch

    def _unlike(self, usual: int, length: int) -> bool:
        short, long = sorted((usual, length))
        return not self.embedder.hosted and long > UNLIKE * max(short, SHORT)

    async def _embed(self, batch: _Batch) -> None:
        try:
            await self._send(batch)
        except Exception as error:  # noqa: BLE001 -- it is handed to whom it concerns
            if len(batch) == 1:
                self._fail(next(iter(batch)), error)
                return
            for call, places in batch.items():
                await self._send_alone(call, places)

    async def _send_alone(self, call: _Call, places: list[int]) -> None:
        if call.done.done():
            return
        try:
            await self._send({call: places})
        except Exception as error:  # noqa: BLE001 -- it is handed to whom it concerns
            self._fail(call, error)

    async def _send(self, batch: _Batch) -> None:
        prepare = self.embedder.prepare
        texts = [prepare(call.texts[place], call.purpose) for call, places in batch.items() for place in places]
        vectors = iter(await self.embedder.embed_prepared(texts))
        for call, places in batch.items():
            call.take(places, [next(vectors) for _ in places])

    def _fail(self, call: _Call, error: Exception) -> None:
        call.fail(error)
        self._leave(call)

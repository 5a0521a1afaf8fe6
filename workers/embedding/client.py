"""How a process without weights embeds: texts go to workers over Redis, vectors come back; a provider is called from here.

Somebody waits for every answer, so nothing is kept for later: without Redis, without a worker that embeds, or with too many
waiting it is Unavailable, soon. The other side is `workers/embedding/server.py`.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence

import structlog

from graphs.embeddings.hosted import pieces_of
from graphs.embeddings.purposes import Purpose
from graphs.embeddings.registry import DEFAULT, is_local, open_embedder
from graphs.embeddings.texts import clean
from graphs.providers.errors import ProviderTimeout
from schema import redis_names
from schema.errors import HeadraceError, InputError, Unavailable
from workers.embedding.protocol import (
    ASK_CHARS,
    ASK_TEXTS,
    MALFORMED,
    MOST_WAITING,
    QUERY_CHARS,
    QUERY_TEXTS,
    EmbeddingRequest,
    EmbeddingResponse,
    Lane,
    Refusal,
    decode_response,
    encode,
    unpacked,
)
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import RedisAddress, ReplyError
from workers.stream.pubsub import Subscriber

TIMEOUT_S = 5.0
RATE_S = 30.0
"""A cross-encoder takes a second or more for what one search found, and as many to be loaded at its first use."""
AT_ONCE = 4
"""Asks of one call that are under way: enough for a few workers, and not all of the list at once."""
MOST_TEXTS = 2048
SUBSCRIBE_S = 2.0
FORGET_S = 60
"""A list that nobody adds to for so long is dropped."""

log = structlog.get_logger()

GetProvider = Callable[[str], object]


class EmbeddingFailed(HeadraceError):
    """The worker could not embed; `code` and sentence are those of its error."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.code = refusal.code


class EmbeddingClient:
    """`async with EmbeddingClient(address, wire, process=…) as client:`, once a process.

    `process` is a name that no other process has (`workers.queue.job_core.process_name`), `default` the
    installation's embedder, and `get_provider` the deployment's `Providers.get`.
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
        self._wire, self._process, self._get_provider = redis, process, get_provider
        self._channel = redis_names.embedding_answers(process)
        self._ear = Subscriber(address, self._heard)
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[EmbeddingResponse]] = {}

    async def __aenter__(self) -> "EmbeddingClient":
        self._ear.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._ear.close()
        for waiting in self._waiting.values():
            waiting.cancel()

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
        """One vector per text, in order. `embedder` is a name that `open_embedder` knows, None the installation's.

        `lane` is whoever shares alike, such as a tenant; `timeout_s` is for each `ASK_TEXTS` texts. `get_provider` is a
        tenant's own, for a hosted model. Raises Unavailable, InputError for more than MOST_TEXTS texts, EmbeddingFailed, and
        for a hosted model what its provider raises.
        """
        if len(texts) > MOST_TEXTS:
            raise InputError(f"input has {len(texts)} texts; the maximum is {MOST_TEXTS}.", field="input")
        name = embedder or self.default
        if not texts:
            return []
        if is_local(name):
            return await self._embed_local(texts, purpose, name, lane, timeout_s)
        return await self._embed_hosted(texts, purpose, name, timeout_s, get_provider or self._get_provider)

    async def _embed_hosted(
        self, texts: Sequence[str], purpose: Purpose, name: str, timeout_s: float, get_provider: GetProvider | None
    ) -> list[list[float]]:
        opened = open_embedder(name, get_provider)
        limit_s = timeout_s * -(-len(texts) // ASK_TEXTS)
        try:
            async with asyncio.timeout(limit_s):
                return await opened.embed(texts, purpose)
        except TimeoutError as error:
            raise ProviderTimeout(f"{opened.engine} sent no embeddings within {limit_s:g} s.") from error

    async def rate(self, query: str, texts: Sequence[str], *, lane: str = "", timeout_s: float = RATE_S) -> list[float]:
        """Return how well each text answers, 0–1, in order, as the workers' cross-encoder says. Raises what `embed` does."""
        if not texts:
            return []
        ratings = await self._ask_workers("query", texts, "query", "", lane, timeout_s, query=clean(query))
        return [rating for (rating,) in ratings]

    async def _embed_local(
        self, texts: Sequence[str], purpose: Purpose, name: str, lane: str, timeout_s: float
    ) -> list[list[float]]:
        short = len(texts) <= QUERY_TEXTS and sum(map(len, texts)) <= QUERY_CHARS
        return await self._ask_workers("query" if short else "bulk", texts, purpose, name, lane, timeout_s)

    async def _ask_workers(
        self,
        to: Lane,
        texts: Sequence[str],
        purpose: Purpose,
        name: str,
        lane: str,
        timeout_s: float,
        *,
        query: str | None = None,
    ) -> list[list[float]]:
        if not await self._ear.subscribe(self._channel, timeout_s=SUBSCRIBE_S):
            raise _away()
        under_way = asyncio.Semaphore(AT_ONCE)

        async def ask(piece: Sequence[str]) -> EmbeddingResponse:
            async with under_way:
                number, deadline = next(self._ids), time.time() + timeout_s
                asked = EmbeddingRequest(number, self._process, list(piece), purpose, name, lane, deadline, query)
                return await self._ask(to, asked, timeout_s)

        pieces = pieces_of([clean(text) for text in texts], most_texts=ASK_TEXTS, most_chars=ASK_CHARS)
        asks = [asyncio.ensure_future(ask(piece)) for piece in pieces]
        try:
            return _joined(await asyncio.gather(*asks))
        finally:
            for one in asks:
                one.cancel()

    async def _ask(self, to: Lane, ask: EmbeddingRequest, timeout_s: float) -> EmbeddingResponse:
        answered = self._waiting[ask.id] = asyncio.get_running_loop().create_future()
        try:
            await self._push(redis_names.embedding_requests(to), encode(ask))
            async with asyncio.timeout(timeout_s):
                answer = await answered
        except TimeoutError as error:
            raise Unavailable(
                f"No worker embedded the text within {timeout_s:g} s: no ingestion worker is running, or all are busy. "
                "Retry in a moment, or start a worker."
            ) from error
        finally:
            del self._waiting[ask.id]
        if answer.refusal is not None:
            raise EmbeddingFailed(answer.refusal)
        return answer

    async def _push(self, key: str, ask: bytes) -> None:
        """Add to the list, but not beyond its bound: what is trimmed is the newest, so ours if the list was full."""
        commands = [("LPUSH", key, ask), ("LTRIM", key, -MOST_WAITING, -1), ("EXPIRE", key, FORGET_S)]
        try:
            length, *_ = await self._wire.send(commands)
        except RedisUnavailable as error:
            raise _away() from error
        if isinstance(length, ReplyError):
            log.warning("embedding_not_asked", error=str(length).partition(" ")[0])
            raise _away()
        if length > MOST_WAITING:
            raise Unavailable("Too many texts are waiting to be embedded. Retry in a moment, or start more workers.")

    def _heard(self, channel: str, data: bytes) -> None:
        try:
            answer = decode_response(data)
        except MALFORMED as error:
            log.warning("embedding_answer_malformed", error=type(error).__name__)
            return
        waiting = self._waiting.get(answer.id)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)


def _away() -> Unavailable:
    return Unavailable("Nothing can be embedded now: Redis does not answer. Send it again in a moment.")


def _joined(answers: Sequence[EmbeddingResponse]) -> list[list[float]]:
    if len({answer.dimensions for answer in answers}) > 1:  # workers of two versions, in the middle of a deploy
        raise Unavailable(
            "Workers use different embedding models at the moment. Retry when all have the same settings."
        )
    return [vector for answer in answers for vector in unpacked(answer)]

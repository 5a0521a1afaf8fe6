"""The vectors of the texts that the router compares questions with, in Redis, so that a worker that starts reads them at once
instead of embedding them for seconds.

They follow from the text alone, so nothing is ever wrong or old here: a wiped Redis costs that time once more. Keys are
hashes, and what nobody has read for REMEMBERED_FOR_S is gone.
"""

import hashlib
from collections.abc import Mapping, Sequence

import structlog

from schema import redis_names
from workers.redis.client import RedisClient, RedisUnavailable

log = structlog.get_logger()

REMEMBERED_FOR_S = 8 * 86400
"""A day longer than a worker prepares for a tenant that asks no more."""


class RoutingVectors:
    """The vectors of one `space` of `dimensions` numbers of two bytes each. Without Redis none is found and none kept."""

    def __init__(self, redis: RedisClient, space: str, dimensions: int) -> None:
        self._redis, self._space, self._size = redis, space, 2 * dimensions

    async def find(self, texts: Sequence[str]) -> list[bytes | None]:
        """Return the vector of each text, if it is known. Raises nothing."""
        try:
            replies = await self._redis.send([("GETEX", self._key(text), "EX", REMEMBERED_FOR_S) for text in texts])
        except RedisUnavailable:
            return [None] * len(texts)
        return [data if isinstance(data, bytes) and len(data) == self._size else None for data in replies]

    async def keep(self, vectors: Mapping[str, bytes]) -> None:
        """Keep these vectors. Raises nothing."""
        try:
            await self._redis.send(
                [("SET", self._key(text), data, "EX", REMEMBERED_FOR_S) for text, data in vectors.items()]
            )
        except RedisUnavailable:
            log.info("routing_vectors_not_kept", vectors=len(vectors))

    def _key(self, text: str) -> str:
        digest = hashlib.blake2b(f"{self._space}\n{text}".encode(errors="surrogatepass"), digest_size=16)
        return redis_names.routing_vector(digest.hexdigest())

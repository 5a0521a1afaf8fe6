"""An embedding server over an engine that a test looks into."""

import asyncio
from collections.abc import Sequence
from typing import Any

from graphs.providers.errors import ModelUnknown
from schema import redis_names
from workers.embedding.protocol import (
    EmbeddingQueue,
)
from workers.embedding.server import EmbeddingServer
from workers.redis.address import RedisAddress

QUEUES: tuple[EmbeddingQueue, ...] = ("query", "bulk")


class FakeEngine:
    """A fake embedder: a text's vector is its length and its value as a number. With `held`, it waits for `released`."""

    def __init__(self, *, held: bool = False) -> None:
        self.calls: list[tuple[list[str], dict[str, Any]]] = []
        self.began, self.released = asyncio.Event(), asyncio.Event()
        if not held:
            self.released.set()

    async def embed(self, texts: Sequence[str], **options: Any) -> list[list[float]]:
        self.calls.append((list(texts), options))
        self.began.set()
        await self.released.wait()
        if "bad" in texts:
            raise ModelUnknown("There is no such model.")
        if "broken" in texts:
            raise ZeroDivisionError
        return [[float(len(text)), float(text or 0)] for text in texts]


def new_server(address: RedisAddress, engine: FakeEngine, queues: Sequence[EmbeddingQueue] = QUEUES) -> EmbeddingServer:
    return EmbeddingServer(address, engine, queues=queues)


def queue_key(queue: EmbeddingQueue = "query") -> str:
    return redis_names.embedding_requests(queue)

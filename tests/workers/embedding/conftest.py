"""A client of embedding, and the Redis that it speaks through."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from tests.waiting import PATIENCE_S
from workers.embedding.client import EmbeddingClient
from workers.queue.job_core import process_name
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient


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
    async with PatientClient(address, redis_client, process=process_name()) as client:
        yield client


class PatientClient(EmbeddingClient):
    """Waits as long as a busy machine may need, unless a test says how long."""

    async def embed(self, texts: Sequence[str], **options: Any) -> list[list[float]]:
        return await super().embed(texts, **{"timeout_s": PATIENCE_S, **options})

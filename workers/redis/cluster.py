"""Refuses a Valkey or Redis Cluster: Celery has no transport for one, and our scripts use keys that lie on several nodes."""

import asyncio

from schema.errors import ClusterRefused
from workers.redis.address import RedisAddress
from workers.redis.connection import ReplyError, pack
from workers.redis.sentinel import open_master

ASK_TIMEOUT_S = 3.0
REFUSAL = (
    "HEADRACE_REDIS_URL leads to a Valkey or Redis Cluster. Celery can't use a Cluster as its broker, and headrace's scripts "
    "use keys that a Cluster keeps on different nodes. Use one server with cluster mode disabled, a managed primary with a "
    "replica, or servers with sentinels (redis+sentinel://…, see docs/operations.md)."
)


def refuse_cluster(redis_url: str) -> None:
    """Ask the server once, at the start of a process. Raises ClusterRefused; does nothing while Redis is unavailable."""
    asyncio.run(check_no_cluster(RedisAddress.from_url(redis_url)))


async def check_no_cluster(address: RedisAddress) -> None:
    """Raise ClusterRefused if the server is part of a Cluster. One that does not answer, or does not say, is let through."""
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            connection = await open_master(address)
            try:
                (info,) = await connection.request(pack([("INFO", "cluster")]), 1)
            finally:
                await connection.close()
    except (OSError, ReplyError):  # a TimeoutError is an OSError
        return
    if isinstance(info, bytes) and b"cluster_enabled:1" in info:
        raise ClusterRefused(REFUSAL)

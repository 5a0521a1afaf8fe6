"""What a worker routes with is loaded while it starts: the embedder, and the agents of the tenants whose questions were routed
of late. Where no tenant has agents that are asked for, nothing is loaded.

No question waits for it: the vectors of words decide until it is there. If the embedder can't be loaded, the worker routes by
words, says so in its log and in `/health`, and tries again once a minute.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

import structlog

from graphs.routing.router import Router
from schema import redis_names
from schema.errors import HeadraceError, Unavailable
from workers.agents.configuration import Configurations, routing_candidates
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import ReplyError
from workers.stream.pubsub import Subscriber

log = structlog.get_logger()

MAX_TENANTS = 32
NOTED_FOR_S = 3600.0
"""How long a process doesn't note the same tenant again."""
REMEMBERED_FOR_S = 7 * 86400.0
PREPARE_S = 60.0
AGAIN_S = 60.0


class RoutedTenants:
    """The tenants whose questions were routed, in Redis. Without Redis none is noted and none known (fails open)."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._noted: dict[UUID, float] = {}

    async def note(self, tenant_id: UUID) -> None:
        """Note that a tenant's question is routed. Raises nothing."""
        now = time.monotonic()
        if self._noted.get(tenant_id, -NOTED_FOR_S) + NOTED_FOR_S > now:
            return
        self._noted[tenant_id] = now
        try:
            await self._redis.call("ZADD", redis_names.ROUTED, time.time(), str(tenant_id))
        except (RedisUnavailable, ReplyError):
            del self._noted[tenant_id]

    async def recent(self) -> list[UUID]:
        """Return those of the last week, the latest first, and forget older ones. Raises nothing."""
        try:
            await self._redis.call("ZREMRANGEBYSCORE", redis_names.ROUTED, "-inf", time.time() - REMEMBERED_FOR_S)
            found: list[bytes] = await self._redis.call("ZREVRANGE", redis_names.ROUTED, 0, MAX_TENANTS - 1)
        except (RedisUnavailable, ReplyError):
            return []
        return [UUID(name.decode()) for name in found]


async def prepare_routing(router: Router, configurations: Configurations, routed: RoutedTenants) -> bool:
    """Prepare the router for the tenants that it is likely to be asked for; return whether it can compare meanings, as far as
    it was tried. Raises nothing."""
    prepared = 0
    try:
        async with asyncio.timeout(PREPARE_S):
            for tenant_id in await routed.recent():
                configuration = await configurations.get_latest(tenant_id)
                if configuration.agents:
                    await router.prepare(routing_candidates(configuration))
                    prepared += 1
            if prepared:
                await router.warm()
    except (TimeoutError, Unavailable) as error:  # the rest is prepared by its first question
        log.warning("routing_partly_prepared", tenants=prepared, error=type(error).__name__)
    except HeadraceError as error:
        log.error("routing_by_words", code=error.code, reason=error.message)
        return False
    if prepared:
        log.info("routing_prepared", tenants=prepared)
    return True


@asynccontextmanager
async def routing_ready(
    router: Router, configurations: Configurations, routed: RoutedTenants, address: RedisAddress
) -> AsyncGenerator[None]:
    """Prepare the router within; if it can't be, say so and try again until it is."""

    async def prepare() -> None:
        if await prepare_routing(router, configurations, routed):
            return
        told = Subscriber(address, lambda *_: None)
        told.start()
        try:
            await told.subscribe(redis_names.ROUTES_BY_WORDS)
            while True:
                await asyncio.sleep(AGAIN_S)
                if await prepare_routing(router, configurations, routed):
                    return
        finally:
            await told.close()

    preparing = asyncio.get_running_loop().create_task(prepare(), name="prepare routing")
    try:
        yield
    finally:
        preparing.cancel()
        await asyncio.wait({preparing})

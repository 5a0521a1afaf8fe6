"""What a process needs to submit, follow and cancel jobs. The API uses it; workers have `workers/context.py`."""

import os
import secrets
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from schema.model_catalog.catalog import Catalogs
from schema.postgres.connections import Pool, limit_tenants, pool_for, watch_freezes
from workers.amqp.publisher import AmqpPublisher
from workers.limits.limits import Limits
from workers.limits.spending import read_spent
from workers.queue.capacity import CapacityCache
from workers.queue.dispatch import WINDOW
from workers.queue.doorbell import Bells
from workers.queue.submit_throttle import SubmitThrottle
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient
from workers.stream.hub import Hub
from workers.stream.relay import Relay


@dataclass(frozen=True)
class JobCoreSettings:
    """The URLs of the stores, and the size of the pool of Postgres connections."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    pool_size: int = 16
    broker_url: str | None = field(default=None, repr=False)
    window: int = WINDOW


@dataclass(frozen=True)
class JobCore:
    """The opened resources. `pool` sees one tenant at a time; `hub` serves every follower in this process."""

    pool: Pool
    redis: RedisClient
    hub: Hub
    relay: Relay
    window: int
    capacity: CapacityCache
    throttle: SubmitThrottle
    limits: Limits
    catalogs: Catalogs
    bells: Bells


@asynccontextmanager
async def open_job_core(settings: JobCoreSettings) -> AsyncGenerator[JobCore, None]:
    """Open everything, and close it in reverse order. No store has to be available yet."""
    address = RedisAddress.from_url(settings.redis_url)
    async with AsyncExitStack() as stack:
        pool = pool_for(settings.database_url, "headrace_app", max_size=settings.pool_size, name="headrace api")
        limit_tenants(pool, max(1, settings.pool_size // 2))  # the others' requests always find a connection
        await pool.open()
        stack.push_async_callback(pool.close)
        await stack.enter_async_context(watch_freezes(pool))
        redis = RedisClient(address)
        stack.push_async_callback(redis.close)
        bells = open_bells(settings.broker_url, redis, stack)
        hub = Hub(address, redis, pool, process=process_name())
        await hub.start()
        stack.push_async_callback(hub.close)
        yield JobCore(
            pool=pool,
            redis=redis,
            hub=hub,
            relay=Relay(redis),
            window=settings.window,
            capacity=CapacityCache(),
            throttle=SubmitThrottle(),
            limits=limits_over(redis, pool),
            catalogs=Catalogs(pool),
            bells=bells,
        )


def open_bells(broker_url: str | None, redis: RedisClient, stack: AsyncExitStack) -> Bells:
    """Return where doorbells are rung, closed at the end of the stack."""
    if broker_url is None:
        return redis
    publisher = AmqpPublisher(broker_url)
    stack.push_async_callback(publisher.close)
    return publisher


def limits_over(redis: RedisClient, pool: Pool) -> Limits:
    """Return the limits of tenants, which read from Postgres what was spent if Redis doesn't know it."""

    return Limits(redis, partial(read_spent, pool))


def process_name() -> str:
    """Return a unique name for this process."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

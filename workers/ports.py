"""What a process needs to submit, follow and cancel jobs: the API's side of the job core."""

import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from schema.db import Pool, pool_for, tenant_tx
from schema.queries.usage import get_spent
from workers.dispatch import WINDOW
from workers.hub import Hub
from workers.limits import Limits
from workers.pacing import Pace
from workers.redis_connection import RedisAddress
from workers.relay import Relay
from workers.rooms import Rooms
from workers.wire import Wire


@dataclass(frozen=True)
class PortSettings:
    """Where the stores are, and how many connections to Postgres this process may hold."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    pool_size: int = 16
    window: int = WINDOW


@dataclass(frozen=True)
class Ports:
    """Opened resources; `pool` sees one tenant at a time, `hub` feeds every reader of this process."""

    pool: Pool
    wire: Wire
    hub: Hub
    relay: Relay
    window: int
    rooms: Rooms
    pace: Pace
    limits: Limits


@asynccontextmanager
async def open_ports(settings: PortSettings) -> AsyncIterator[Ports]:
    """Open the stores and close them in reverse order. Neither has to answer yet."""
    address = RedisAddress.from_url(settings.redis_url)
    async with AsyncExitStack() as stack:
        pool = pool_for(settings.database_url, "headrace_app", max_size=settings.pool_size, name="headrace api")
        await pool.open()
        stack.push_async_callback(pool.close)
        wire = Wire(address)
        stack.push_async_callback(wire.close)
        hub = Hub(address, wire, pool, process=process_name())
        await hub.start()
        stack.push_async_callback(hub.close)
        yield Ports(pool, wire, hub, Relay(wire), settings.window, Rooms(), Pace(), limits_over(wire, pool))


def limits_over(wire: Wire, pool: Pool) -> Limits:
    """Return the tenants' limits, which ask Postgres what was spent when Redis doesn't know."""

    async def spent(tenant_id: UUID) -> tuple[int, int]:
        async with tenant_tx(pool, tenant_id) as db:
            return await get_spent(db, tenant_id)

    return Limits(wire, spent)


def process_name() -> str:
    """Return a name for this process that no other ever had."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

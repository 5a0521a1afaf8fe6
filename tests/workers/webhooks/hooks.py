"""Short ways to have endpoints and to look at deliveries, for tests of webhooks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import DictRow

from schema.ids import new_id
from schema.postgres.connections import pool_for, tenant_tx
from schema.queries.tenants.egress_grants import read_egress_hosts
from schema.queries.webhooks.endpoints import add_endpoint
from tests.conftest import TestTenant
from tests.secret import VAULT
from tests.waiting import wait_for
from tests.workers.jobs import rows, submit_one
from tools.egress import EgressPolicy, TenantEgress
from workers.queue.cancel import cancel
from workers.queue.job_core import JobCore
from workers.redis.address import RedisAddress
from workers.webhooks.deliverer import Deliverer
from workers.webhooks.secrets import EndpointSecrets, seal_secrets
from workers.webhooks.signing import new_secret

LOOPBACK = EgressPolicy.from_env({"HEADRACE_EGRESS_ALLOW": "127.0.0.1"})


@asynccontextmanager
async def deliverer(database_url: str, redis_url: str, *, owner: str = "webhooks@test/1/1") -> AsyncIterator[Deliverer]:
    """A deliverer in this process."""
    pools = [pool_for(database_url, role, max_size=4) for role in ("headrace_app", "headrace_system")]
    for pool in pools:
        await pool.open()
    egress = TenantEgress(LOOPBACK, lambda tenant_id: read_egress_hosts(pools[0], tenant_id))
    try:
        async with Deliverer(
            pools[0], pools[1], egress, VAULT, RedisAddress.from_url(redis_url), owner=owner
        ) as running:
            yield running
    finally:
        await egress.aclose()
        for pool in pools:
            await pool.close()


async def have_endpoint(
    core: JobCore, tenant: TestTenant, url: str, *, secrets: EndpointSecrets | None = None, **columns: Any
) -> tuple[UUID, str]:
    """Add an endpoint for all events of jobs; return its id and secret."""
    endpoint_id, secrets = new_id(), secrets or EndpointSecrets(new_secret())
    sealed = seal_secrets(VAULT, secrets, tenant.id, endpoint_id)
    about: dict[str, Any] = {
        "url": url,
        "description": "",
        "events": ["job.*"],
        "kinds": [],
        "agents": [],
        "include": [],
    }
    about |= {"enabled": True, "key_id": sealed.key_id, "sealed": sealed.sealed, **columns}
    async with tenant_tx(core.pool, tenant.id) as db:
        await add_endpoint(db, tenant.id, endpoint_id, about, created_by="test")
    return endpoint_id, secrets.secret


async def end_one(core: JobCore, tenant: TestTenant, **changes: Any) -> UUID:
    """Have a job that ends, cancelled while it waits; return its id."""
    submitted = await submit_one(core, tenant, **changes)
    assert "cancelled" == await cancel(core, tenant.id, submitted.job_id)
    return submitted.job_id


def deliveries(database_url: str, tenant: TestTenant) -> list[DictRow]:
    return rows(database_url, "SELECT * FROM webhook_deliveries WHERE tenant_id = %s ORDER BY id", tenant.id)


def attempts(database_url: str, tenant: TestTenant) -> list[DictRow]:
    return rows(database_url, "SELECT * FROM webhook_attempts WHERE tenant_id = %s ORDER BY started_at", tenant.id)


async def until_states(database_url: str, tenant: TestTenant, *wanted: str) -> list[DictRow]:
    """Wait until the deliveries are in these states, in order of their ids."""
    await wait_for(
        lambda: list(wanted) == [row["state"] for row in deliveries(database_url, tenant)], f"deliveries are {wanted}"
    )
    return deliveries(database_url, tenant)


def make_due(database_url: str, tenant: TestTenant) -> None:
    """Let the time pass until all that waits is due."""
    with psycopg.connect(database_url) as db:
        db.execute(
            "UPDATE webhook_deliveries SET next_at = now() WHERE tenant_id = %s AND state = 'pending'", (tenant.id,)
        )

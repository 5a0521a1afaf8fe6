"""Rows for tests of retention, and the retention itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from schema.ids import new_id
from schema.postgres.connections import pool_for
from tests.conftest import TestTenant
from tests.workers.jobs import change
from workers.limits.limits import Limits
from workers.queue.job_core import JobCore
from workers.retention import Retention


@asynccontextmanager
async def sweeping(core: JobCore, database_url: str, limits: Limits) -> AsyncIterator[Retention]:
    async with pool_for(database_url, "headrace_system", max_size=4) as system:
        yield Retention(core.pool, system, core.redis, limits)


def add(database_url: str, table: str, tenant: TestTenant, **values: Any) -> None:
    columns, places = ", ".join(values), ", ".join(["%s"] * len(values))
    sql = f"INSERT INTO {table} (tenant_id, {columns}) VALUES (%s, {places})"
    change(database_url, sql, tenant.id, *values.values())


def add_file(database_url: str, tenant: TestTenant, **values: Any) -> None:
    about = {
        "id": new_id(),
        "name": "n",
        "purpose": "batch",
        "media_type": "text/plain",
        "size_bytes": 1,
        "sha256": b"s",
    }
    add(database_url, "files", tenant, **about, **values)


def add_user(database_url: str, tenant: TestTenant) -> UUID:
    user_id = new_id()
    add(database_url, "users", tenant, id=user_id, email=f"{user_id}@example.com", role="member")
    return user_id

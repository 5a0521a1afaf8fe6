"""Rows for tests of retention, and the retention itself."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from schema.ids import new_id
from schema.postgres.connections import pool_for
from tests.conftest import TestTenant
from tests.secret import VAULT
from tests.workers.jobs import change
from workers.limits.limits import Limits
from workers.queue.job_core import JobCore
from workers.retention import Retention
from workers.storage.contract import Storage
from workers.storage.factory import open_storage
from workers.storage.settings import StorageSettings


@asynccontextmanager
async def sweeping(
    core: JobCore, database_url: str, limits: Limits, storage: Storage | None = None
) -> AsyncIterator[Retention]:
    """The retention, with a storage of its own unless one is given."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            pool_for(database_url, "headrace_system", max_size=4) as system,
            open_storage(StorageSettings(folder=Path(folder))) as own,
        ):
            yield Retention(core.pool, system, core.redis, limits, storage or own)


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


def configure(database_url: str, tenant: TestTenant) -> None:
    """Give a tenant an agent, a tool, a data source, a pipeline, and settings."""
    none, pipeline_id = Jsonb([]), new_id()
    agent = {"description": "d", "examples": none, "prompt": "p", "models": none, "tools": none}
    add(database_url, "agents", tenant, id=new_id(), name="n", **agent)
    add(database_url, "tools", tenant, id=new_id(), name="n", kind="HTTP_GET", definition=Jsonb({}))
    add_file(database_url, tenant, stored_as="f")
    add(database_url, "data_sources", tenant, id=new_id(), name="n", tables=none, key_id=VAULT.key_ids[0], sealed=b"s")
    add(database_url, "configurations", tenant, settings=Jsonb({}))
    add(database_url, "pipelines", tenant, id=pipeline_id, name="n", version=1, definition=Jsonb({}))
    add(database_url, "pipeline_versions", tenant, pipeline_id=pipeline_id, version=1, definition=Jsonb({}))


def hook(database_url: str, tenant: TestTenant) -> None:
    """Give a tenant a webhook endpoint with a delivery, a callback that was delivered, and the secret of callbacks."""
    sealed, endpoint_id = {"key_id": VAULT.key_ids[0], "sealed": b"s"}, new_id()
    add(database_url, "webhook_endpoints", tenant, id=endpoint_id, url="u", events=Jsonb(["*"]), **sealed)
    add(database_url, "callback_secrets", tenant, **sealed)
    trigger = {"name": "n", "created_by": "system", "issuer": "i", "kind": "chat", "auth": "secret"}
    does = {"job": Jsonb({}), "compiled": Jsonb({}), "calls_per_minute": 1}
    add(database_url, "triggers", tenant, id=endpoint_id, **trigger, **does, **sealed)
    call = {"status": 404, "code": "c", "size_bytes": 1}
    add(database_url, "trigger_calls", tenant, id=endpoint_id, trigger_id=endpoint_id, **call)
    about = {"event_id": new_id(), "lane": "x", "type": "job.failed", "sequence": 1, "data": Jsonb({})}
    for to in ({"endpoint_id": endpoint_id}, {"callback": Jsonb({"url": "u"})}):
        delivery_id = new_id()
        add(database_url, "webhook_deliveries", tenant, id=delivery_id, **about, **to)
        add(database_url, "webhook_attempts", tenant, delivery_id=delivery_id, attempt=1, duration_ms=1)


def measure(database_url: str, tenant: TestTenant, job_id: UUID) -> None:
    """Make a job a benchmark of a model."""
    of, now = {"benchmark_id": job_id, "model": "m"}, datetime.now(UTC)
    add(database_url, "benchmarks", tenant, id=job_id, models=Jsonb(["m"]), settings=Jsonb({}), total=1)
    call = {"place": 0, "number": 1, "prompt": 0, "attempt": 1, "started_at": now, "total_ms": 1}
    add(database_url, "benchmark_iterations", tenant, **of, **call)
    add(database_url, "benchmark_results", tenant, **of, figures=Jsonb({}))


def judge(database_url: str, tenant: TestTenant, job_id: UUID) -> None:
    """Give a tenant a dataset, and a benchmark a question that was judged."""
    dataset_id = new_id()
    add(database_url, "datasets", tenant, id=dataset_id, name="d", version=1, items=1, created_by="x")
    add(database_url, "dataset_items", tenant, dataset_id=dataset_id, version=1, place=0, item=Jsonb({}))
    about = {"place": 0, "question": "q", "outcome": Jsonb({}), "attempt": 1}
    add(database_url, "benchmark_items", tenant, benchmark_id=job_id, **about)


def plan(database_url: str, tenant: TestTenant, *, days_ago: int = 0) -> None:
    """Give a tenant a schedule that was due, so long ago."""
    schedule_id, names = new_id(), ("name", "created_by", "issuer", "kind", "on_missed", "on_overlap", "session")
    about = {**dict.fromkeys(names, "x"), "job": Jsonb({}), "compiled": Jsonb({}), "cron": "* * * * *"}
    due_at = datetime.now(UTC) - timedelta(days=days_ago)
    add(database_url, "schedules", tenant, id=schedule_id, timezone="UTC", state="paused", **about)
    add(database_url, "schedule_runs", tenant, schedule_id=schedule_id, due_at=due_at, outcome="missed")


def keep_for_clients(database_url: str, tenant: TestTenant, job_id: UUID) -> None:
    """Give a tenant a batch with a line, and a conversation with an item."""
    batch = {"id": job_id, "created_by": "x", "rights": Jsonb([]), "input_file_id": new_id(), "endpoint": "e"}
    add(database_url, "batches", tenant, **batch)
    add(database_url, "batch_lines", tenant, batch_id=job_id, place=0, custom_id="c", body="{}")
    conversation_id = new_id()
    add(database_url, "conversations", tenant, id=conversation_id, metadata=Jsonb({}))
    item = {"place": 0, "ordinal": 0, "id": "msg_1", "item": Jsonb({})}
    add(database_url, "conversation_items", tenant, conversation_id=conversation_id, **item)

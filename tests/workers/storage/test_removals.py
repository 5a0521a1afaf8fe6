"""Stored files that nothing refers to are deleted, when due or at once; all others are kept."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from schema.errors import Unavailable
from schema.postgres.connections import pool_for, system_tx, tenant_tx
from schema.queries.documents.file_removals import claim_due_removals
from schema.queries.documents.uploads import schedule_removals
from tests.conftest import TestTenant, make_tenant
from tests.workers.stored_files import names, put
from workers.queue.job_core import JobCore
from workers.storage import removals
from workers.storage.contract import Storage, new_name
from workers.storage.factory import open_storage
from workers.storage.removals import delete_due_files, delete_unused_files
from workers.storage.settings import StorageSettings


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[Storage]:
    async with open_storage(StorageSettings(folder=tmp_path / "files")) as opened:
        yield opened


@pytest.fixture
async def system_pool(database_url: str) -> AsyncIterator[Any]:
    async with pool_for(database_url, "headrace_system", max_size=4) as pool:
        yield pool


async def store_pending(core: JobCore, storage: Storage, tenant: TestTenant, count: int = 1) -> list[str]:
    """Store files with their removal rows, as an upload does."""
    stored = [new_name(tenant.id) for _ in range(count)]
    async with tenant_tx(core.pool, tenant.id) as db:
        await schedule_removals(db, tenant.id, stored)
    for name in stored:
        await put(storage, b"x", name)
    return stored


def fall_due(database_url: str, *tenants: TestTenant) -> None:
    with psycopg.connect(database_url) as db:
        sql = "UPDATE file_removals SET due_at = now() - interval '1 s' WHERE tenant_id = ANY(%s)"
        db.execute(sql, ([tenant.id for tenant in tenants],))


def pending_removals(database_url: str, tenant: TestTenant) -> set[str]:
    with psycopg.connect(database_url) as db:
        rows = db.execute("SELECT stored_as FROM file_removals WHERE tenant_id = %s", (tenant.id,)).fetchall()
    return {row[0] for row in rows}


async def test_due_files_are_deleted_with_their_rows_and_others_kept(
    core: JobCore,
    system_pool: Any,
    disk: Storage,
    tenant: TestTenant,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(removals, "BATCH", 2)
    other = make_tenant(database_url)
    await store_pending(core, disk, tenant, 5)
    kept = set(await store_pending(core, disk, other))
    fall_due(database_url, tenant)
    assert 5 == await delete_due_files(system_pool, disk)
    assert (kept, set(), kept) == (
        await names(disk),
        pending_removals(database_url, tenant),
        pending_removals(database_url, other),
    )
    assert 0 == await delete_due_files(system_pool, disk)


class UnavailableStorage:
    """A storage that does not answer."""

    async def delete(self, _: Any) -> None:
        raise Unavailable("no answer")


async def test_while_the_storage_is_away_the_notes_stay(
    core: JobCore, system_pool: Any, disk: Storage, tenant: TestTenant, database_url: str
) -> None:
    stored = set(await store_pending(core, disk, tenant))
    fall_due(database_url, tenant)
    with pytest.raises(Unavailable):
        await delete_due_files(system_pool, UnavailableStorage())
    assert stored == pending_removals(database_url, tenant)
    assert 1 == await delete_due_files(system_pool, disk)


async def test_two_schedulers_never_claim_the_same_files(
    core: JobCore, system_pool: Any, disk: Storage, tenant: TestTenant, database_url: str
) -> None:
    await store_pending(core, disk, tenant, 3)
    fall_due(database_url, tenant)
    async with system_tx(system_pool) as one, system_tx(system_pool) as other:
        assert (3, 0) == (len(await claim_due_removals(one, 10)), len(await claim_due_removals(other, 10)))


async def test_only_files_that_still_have_their_row_are_deleted_at_once(
    core: JobCore, disk: Storage, tenant: TestTenant, database_url: str
) -> None:
    committed, dropped = await store_pending(core, disk, tenant, 2)
    with psycopg.connect(database_url) as db:
        db.execute("DELETE FROM file_removals WHERE stored_as = %s", (committed,))
    await delete_unused_files(core.pool, disk, tenant.id, [committed, dropped])
    assert {committed} == await names(disk)

"""Documents of a tenant that is deleted go in batches, and their bytes are noted."""

import pytest

from schema.postgres.connections import tenant_tx
from schema.queries.tenants import retention as queries
from tests.api.documents.stored_documents import shelve
from tests.conftest import TestTenant
from tests.workers.test_retention import count
from workers.queue.job_core import JobCore


async def test_documents_of_a_deleted_tenant_go_a_few_chunks_at_a_time(
    core: JobCore, database_url: str, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "CHUNKS", 2)
    await shelve(core, database_url, tenant, "a", "b", "c")
    left = []
    while not left or left[-1]:
        async with tenant_tx(core.pool, tenant.id) as db:
            await queries.delete_all_content(db, tenant.id)
        left.append(count(database_url, "chunks", tenant))
    assert [1, 0] == left
    assert (0, 5) == (count(database_url, "documents", tenant), count(database_url, "file_removals", tenant))

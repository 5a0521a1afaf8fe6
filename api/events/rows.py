"""Reads the rows that have changed, as their lists show them."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from api.documents.schemas import document_out
from api.events.feeds import ChangedRow
from api.jobs.schemas import job_out
from api.webhooks.delivery_rows import delivery_out, waits
from schema.postgres.connections import Db, Pool, tenant_tx
from schema.queries.documents.documents import list_documents_by_id
from schema.queries.jobs.job_lists import list_jobs_by_id
from schema.queries.webhooks.deliveries import list_deliveries_by_id
from workers.redis.client import RedisClient
from workers.stream.changes import Change, Noun
from workers.webhooks.holds import read_holds


async def read_rows(pool: Pool, redis: RedisClient, tenant_id: UUID, changes: Sequence[Change]) -> list[ChangedRow]:
    """Return the rows of a tenant that are still there, whoever's they are. Raises Unavailable."""
    ids: dict[Noun, list[UUID]] = {"jobs": [], "documents": [], "deliveries": []}
    for change in changes:
        ids[change.noun].append(change.id)
    async with tenant_tx(pool, tenant_id) as db:
        jobs = await _jobs(db, tenant_id, ids["jobs"]) if ids["jobs"] else []
        documents = await _documents(db, tenant_id, ids["documents"]) if ids["documents"] else []
        sent = await list_deliveries_by_id(db, tenant_id, ids["deliveries"]) if ids["deliveries"] else []
    holds = await read_holds(redis, tenant_id, [row.lane for row in sent if waits(row)])
    deliveries = [
        ChangedRow(
            noun="deliveries",
            id=row.id,
            owner_id=None,
            is_shared=True,
            state=row.state,
            body=_encode(delivery_out(row, holds)),
        )
        for row in sent
    ]
    return [*jobs, *documents, *deliveries]


async def _jobs(db: Db, tenant_id: UUID, ids: Sequence[UUID]) -> list[ChangedRow]:
    return [
        ChangedRow(
            noun="jobs",
            id=row.id,
            owner_id=row.user_id,
            is_shared=False,
            state=row.state,
            body=_encode(job_out(row)),
        )
        for row in await list_jobs_by_id(db, tenant_id, ids)
    ]


async def _documents(db: Db, tenant_id: UUID, ids: Sequence[UUID]) -> list[ChangedRow]:
    return [
        ChangedRow(
            noun="documents",
            id=row.id,
            owner_id=row.user_id,
            is_shared=row.user_id is None,
            state=row.state,
            body=_encode(document_out(row)),
        )
        for row in await list_documents_by_id(db, tenant_id, ids)
    ]


def _encode(out: msgspec.Struct) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(out))

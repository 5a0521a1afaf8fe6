"""Datasets and their versions, and how their questions came out in benchmarks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from schema.postgres.batch import run_batch
from schema.postgres.connections import Db, Pool, fetch_all, fetch_one
from schema.storable import storable_json

COLUMNS = "id, name, version, items, created_by, created_at, updated_at"

PUT = f"""
INSERT INTO datasets (tenant_id, id, name, version, items, created_by)
SELECT %(tenant_id)s::uuid, %(id)s::uuid, %(name)s::text, 1, %(items)s::int, %(by)s::text
WHERE EXISTS (SELECT 1 FROM datasets WHERE tenant_id = %(tenant_id)s AND name = %(name)s)
  OR (SELECT count(*) FROM datasets WHERE tenant_id = %(tenant_id)s) < %(most)s
ON CONFLICT (tenant_id, name) DO UPDATE SET version = datasets.version + 1, items = excluded.items, updated_at = now()
RETURNING {COLUMNS}
"""

ADD_ITEMS = """
INSERT INTO dataset_items (tenant_id, dataset_id, version, place, item, message_id)
SELECT %(tenant_id)s::uuid, %(dataset_id)s::uuid, %(version)s::int, (i.place - 1)::int, i.value -> 'item', (i.value ->>
'message_id')::uuid FROM jsonb_array_elements(%(items)s::jsonb) WITH ORDINALITY AS i (value, place)
"""

# What feedback says which agent is right for: the corrected one, or the one whose answer was liked.
FROM_FEEDBACK = """
SELECT q.parts, coalesce(f.agent, m.agent) AS agent, f.message_id
FROM feedback f JOIN messages m ON m.tenant_id = f.tenant_id AND m.id = f.message_id
  JOIN sessions s ON s.tenant_id = m.tenant_id AND s.id = m.session_id
  JOIN messages q ON q.tenant_id = m.tenant_id AND q.session_id = m.session_id AND q.turn = m.turn AND q.role = 'user'
WHERE f.tenant_id = %(tenant_id)s AND (f.agent IS NOT NULL OR (f.rating = 'up' AND m.agent IS NOT NULL))
ORDER BY f.updated_at DESC LIMIT %(limit)s
"""

ADD_JUDGED = """
INSERT INTO benchmark_items (tenant_id, benchmark_id, place, question, correct, outcome, attempt)
SELECT tenant_id, id, %(place)s::int, %(question)s::text, %(correct)s::bool, %(outcome)s::jsonb, %(attempt)s::int FROM jobs
WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND attempt = %(attempt)s AND state = %(from_state)s
  AND lease_owner = %(worker)s
ON CONFLICT DO NOTHING RETURNING place
"""


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset; `items` is how many questions its newest version has."""

    id: UUID
    name: str
    version: int
    items: int
    created_by: str
    created_at: datetime
    updated_at: datetime


class DatasetRow(msgspec.Struct, frozen=True, kw_only=True):
    """A question of a dataset's version."""

    place: int
    item: dict[str, Any]


class FeedbackQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """A question, and the agent that is right for it."""

    parts: list[dict[str, Any]]
    agent: str
    message_id: UUID


class JudgedItem(msgspec.Struct, frozen=True, kw_only=True):
    """How a question came out."""

    place: int
    question: str
    correct: bool | None
    outcome: dict[str, Any]
    attempt: int


async def put_dataset(
    db: Db,
    tenant_id: UUID,
    dataset_id: UUID,
    name: str,
    items: Sequence[dict[str, Any]],
    *,
    message_ids: Sequence[UUID] = (),
    created_by: str,
    most: int,
) -> Dataset | None:
    """Store items as the newest version of a dataset, a new one if the name is new; None if the tenant has `most` already."""
    values = {
        "tenant_id": tenant_id,
        "id": dataset_id,
        "name": name,
        "items": len(items),
        "by": created_by,
        "most": most,
    }
    row = await fetch_one(db, PUT, values, into=Dataset)
    if row is not None:
        ids: list[str | None] = [*map(str, message_ids)] or [None] * len(items)
        stored = [{"item": item, "message_id": one} for item, one in zip(items, ids, strict=True)]
        about = {"tenant_id": tenant_id, "dataset_id": row.id, "version": row.version}
        await db.execute(ADD_ITEMS, {**about, "items": storable_json(stored)})
    return row


async def list_datasets(db: Db, tenant_id: UUID, *, limit: int, after: str = "") -> list[Dataset]:
    """Return datasets by name."""
    sql = f"""SELECT {COLUMNS} FROM datasets WHERE tenant_id = %(tenant_id)s AND name COLLATE "C" > %(after)s
      ORDER BY name COLLATE "C" LIMIT %(limit)s"""
    return await fetch_all(db, sql, {"tenant_id": tenant_id, "after": after, "limit": limit}, into=Dataset)


async def find_dataset(db: Db, tenant_id: UUID, name: str) -> Dataset | None:
    """Return a dataset by its name."""
    sql = f"SELECT {COLUMNS} FROM datasets WHERE tenant_id = %(tenant_id)s AND name = %(name)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "name": name}, into=Dataset)


async def delete_dataset(db: Db, tenant_id: UUID, name: str) -> bool:
    """Delete a dataset with all its versions; False if it isn't there."""
    sql = "DELETE FROM datasets WHERE tenant_id = %(tenant_id)s AND name = %(name)s RETURNING id"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "name": name}) is not None


async def list_items(
    db: Db, tenant_id: UUID, dataset_id: UUID, version: int, *, limit: int | None = None, after: int = -1
) -> list[DatasetRow]:
    """Return the questions of a version, in order."""
    sql = """SELECT place, item FROM dataset_items WHERE tenant_id = %(tenant_id)s AND dataset_id = %(id)s
      AND version = %(version)s AND place > %(after)s ORDER BY place LIMIT %(limit)s"""
    values: dict[str, Any] = {"tenant_id": tenant_id, "id": dataset_id, "version": version}
    return await fetch_all(db, sql, {**values, "limit": limit, "after": after}, into=DatasetRow)


async def list_feedback_questions(db: Db, tenant_id: UUID, *, limit: int) -> list[FeedbackQuestion]:
    """Return questions whose right agent feedback has told, the newest first."""
    return await fetch_all(db, FROM_FEEDBACK, {"tenant_id": tenant_id, "limit": limit}, into=FeedbackQuestion)


async def add_judged(pool: Pool, tenant_id: UUID, benchmark_id: UUID, judged: JudgedItem, *, worker: str) -> bool:
    """Store how a question came out; False, and nothing happened, if another attempt has the job or it was stored before."""
    values: dict[str, Any] = {**msgspec.structs.asdict(judged), "tenant_id": tenant_id, "id": benchmark_id}
    values |= {"worker": worker, "from_state": "running", "outcome": storable_json(judged.outcome)}
    (rows,) = await run_batch(pool, tenant_id, [(ADD_JUDGED, values)])
    return bool(rows)


async def list_judged(
    db: Db, tenant_id: UUID, benchmark_id: UUID, *, limit: int | None = None, after: int = -1
) -> list[JudgedItem]:
    """Return how questions came out, in order."""
    sql = """SELECT place, question, correct, outcome, attempt FROM benchmark_items
      WHERE tenant_id = %(tenant_id)s AND benchmark_id = %(id)s AND place > %(after)s ORDER BY place LIMIT %(limit)s"""
    values = {"tenant_id": tenant_id, "id": benchmark_id, "limit": limit, "after": after}
    return await fetch_all(db, sql, values, into=JudgedItem)

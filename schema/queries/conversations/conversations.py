"""Conversations and their items.

A response adds to its conversation when it has ended well, and not before. Until then a row that is `pending` keeps its place,
with the items of its input; whoever comes next settles it: puts input and output in its place, or takes it away
(`api/openai/conversations/settling.py`).
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Json, Jsonb

from schema.postgres.batch import Statement
from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.jobs.submissions import CONVERSATION_BUSY

Item = dict[str, Any]

ADD = """
INSERT INTO conversations (tenant_id, id, user_id, metadata) VALUES (%(tenant_id)s, %(id)s, %(user_id)s, %(metadata)s)
"""

TAKE_PLACE = """
UPDATE conversations SET places = places + 1, updated_at = now() WHERE tenant_id = %(tenant_id)s AND id = %(id)s
RETURNING places
"""

ADD_ITEMS = """
INSERT INTO conversation_items (tenant_id, conversation_id, place, ordinal, id, item, job_id)
SELECT %(tenant_id)s, %(id)s, %(place)s, i.ordinal, i.id, i.item::json, %(job_id)s
FROM unnest(%(ids)s::text[], %(items)s::text[]) WITH ORDINALITY AS i (id, item, ordinal)
ON CONFLICT (tenant_id, conversation_id, id) DO NOTHING
"""

ITEMS_BY_ID = """
SELECT id, item, job_id FROM conversation_items
WHERE tenant_id = %(tenant_id)s AND conversation_id = %(id)s AND id = ANY(%(ids)s::text[]) AND NOT pending
"""

# Locks the conversation: of two responses at once, and of one that was asked for before something was added, one is refused.
ADD_PENDING = f"""
WITH taken AS (
  UPDATE conversations SET places = places + 1, updated_at = now()
  WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND places = %(places)s AND NOT EXISTS (
    SELECT 1 FROM conversation_items i
    WHERE i.tenant_id = %(tenant_id)s AND i.conversation_id = %(id)s AND i.pending)
  RETURNING tenant_id, id, places),
added AS (
  INSERT INTO conversation_items (tenant_id, conversation_id, place, ordinal, id, item, job_id, pending)
  SELECT tenant_id, id, places, 0, 'pending_' || %(job_id)s::uuid, %(items)s::json, %(job_id)s::uuid, true FROM taken
  RETURNING 1)
SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM added) THEN refuse('{CONVERSATION_BUSY}') END
"""

SETTLE = """
DELETE FROM conversation_items WHERE tenant_id = %(tenant_id)s AND conversation_id = %(id)s AND job_id = %(job_id)s AND pending
RETURNING place, item
"""

ITEMS = {
    order: f"""SELECT id, item, job_id FROM conversation_items i
      WHERE tenant_id = %(tenant_id)s AND conversation_id = %(id)s AND NOT pending AND (
        %(after)s::text IS NULL OR (place, ordinal) {sign} (SELECT a.place, a.ordinal FROM conversation_items a
          WHERE a.tenant_id = %(tenant_id)s AND a.conversation_id = %(id)s AND a.id = %(after)s::text))
      ORDER BY place {direction}, ordinal {direction} LIMIT %(limit)s"""
    for order, sign, direction in (("asc", ">", "ASC"), ("desc", "<", "DESC"))
}


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation; `places` is how much was ever added to it."""

    id: UUID
    metadata: dict[str, str]
    places: int
    created_at: datetime


class StoredItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item. `job_id` is the response that it came with."""

    id: str
    item: Item
    job_id: UUID | None


class PendingResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A response whose items are not in the conversation yet: the items of its input."""

    job_id: UUID
    item: list[Item]


async def add_conversation(
    db: Db, tenant_id: UUID, conversation_id: UUID, *, user_id: UUID | None, metadata: dict[str, str]
) -> None:
    """Add an empty conversation."""
    values = {"tenant_id": tenant_id, "id": conversation_id, "user_id": user_id, "metadata": Jsonb(metadata)}
    await db.execute(ADD, values)


async def find_conversation(db: Db, tenant_id: UUID, conversation_id: UUID) -> Conversation | None:
    """Return one conversation."""
    sql = """SELECT id, metadata, places, created_at FROM conversations
      WHERE tenant_id = %(tenant_id)s AND id = %(id)s"""
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": conversation_id}, into=Conversation)


async def set_metadata(db: Db, tenant_id: UUID, conversation_id: UUID, metadata: dict[str, str]) -> bool:
    """Replace a conversation's metadata; False if there is none."""
    sql = """UPDATE conversations SET metadata = %(metadata)s, updated_at = now()
      WHERE tenant_id = %(tenant_id)s AND id = %(id)s RETURNING id"""
    values = {"tenant_id": tenant_id, "id": conversation_id, "metadata": Jsonb(metadata)}
    return await fetch_one(db, sql, values) is not None


async def delete_conversation(db: Db, tenant_id: UUID, conversation_id: UUID) -> bool:
    """Delete a conversation with its items; False if there is none."""
    sql = "DELETE FROM conversations WHERE tenant_id = %(tenant_id)s AND id = %(id)s RETURNING id"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": conversation_id}) is not None


async def add_items(db: Db, tenant_id: UUID, conversation_id: UUID, items: Sequence[Item]) -> list[Item] | None:
    """Add items at the end, each with its `id`; one whose id is there already is left out. Return what is there by these ids
    now, in their order; None if there is no such conversation."""
    taken = await fetch_one(db, TAKE_PLACE, {"tenant_id": tenant_id, "id": conversation_id})
    if taken is None:
        return None
    values = _values(tenant_id, conversation_id, taken["places"], items)
    await db.execute(ADD_ITEMS, values)
    kept = {one.id: one.item for one in await fetch_all(db, ITEMS_BY_ID, values, into=StoredItem)}
    return [kept[item["id"]] for item in items if item["id"] in kept]


def _values(
    tenant_id: UUID, conversation_id: UUID, place: int, items: Sequence[Item], job_id: UUID | None = None
) -> dict[str, Any]:
    ids, texts = [item["id"] for item in items], [json.dumps(item) for item in items]
    return {
        **{"tenant_id": tenant_id, "id": conversation_id, "place": place},
        **{"ids": ids, "items": texts, "job_id": job_id},
    }


def add_pending(
    tenant_id: UUID, conversation_id: UUID, job_id: UUID, *, places: int, items: Sequence[Item]
) -> Statement:
    """Return the statement that keeps a response's place, for the transaction of its job. It refuses, with
    CONVERSATION_BUSY, if something was added since there were `places`, or if another response is pending."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "id": conversation_id, "job_id": job_id, "places": places}
    return ADD_PENDING, {**values, "items": Json(list(items))}


async def find_pending(db: Db, tenant_id: UUID, conversation_id: UUID) -> PendingResponse | None:
    """Return the response that keeps a place."""
    sql = """SELECT job_id, item FROM conversation_items
      WHERE tenant_id = %(tenant_id)s AND conversation_id = %(id)s AND pending"""
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": conversation_id}, into=PendingResponse)


async def settle(db: Db, tenant_id: UUID, conversation_id: UUID, job_id: UUID, items: Sequence[Item]) -> None:
    """Put items in the place that a response kept; nothing happens if somebody else has."""
    row = await fetch_one(db, SETTLE, {"tenant_id": tenant_id, "id": conversation_id, "job_id": job_id})
    if row is not None and items:
        await db.execute(ADD_ITEMS, _values(tenant_id, conversation_id, row["place"], items, job_id))


async def find_item(db: Db, tenant_id: UUID, conversation_id: UUID, item_id: str) -> StoredItem | None:
    """Return one item."""
    sql = """SELECT id, item, job_id FROM conversation_items
      WHERE tenant_id = %(tenant_id)s AND conversation_id = %(id)s AND id = %(item_id)s AND NOT pending"""
    values = {"tenant_id": tenant_id, "id": conversation_id, "item_id": item_id}
    return await fetch_one(db, sql, values, into=StoredItem)


async def find_items_by_id(db: Db, tenant_id: UUID, ids: Sequence[str]) -> list[StoredItem]:
    """Return items of conversations that the caller may see; of several with one id, that of the newest conversation."""
    sql = """SELECT DISTINCT ON (i.id) i.id, i.item, i.job_id
      FROM conversation_items i JOIN conversations c ON c.tenant_id = i.tenant_id AND c.id = i.conversation_id
      WHERE i.tenant_id = %(tenant_id)s AND i.id = ANY(%(ids)s) AND NOT i.pending
      ORDER BY i.id, c.created_at DESC, c.id DESC"""
    return await fetch_all(db, sql, {"tenant_id": tenant_id, "ids": list(ids)}, into=StoredItem)


async def list_items(
    db: Db, tenant_id: UUID, conversation_id: UUID, *, limit: int, after: str | None = None, newest_first: bool = False
) -> list[StoredItem]:
    """Return items in their order, from behind the item `after`."""
    values = {"tenant_id": tenant_id, "id": conversation_id, "after": after, "limit": limit}
    return await fetch_all(db, ITEMS["desc" if newest_first else "asc"], values, into=StoredItem)


async def delete_item(db: Db, tenant_id: UUID, conversation_id: UUID, item_id: str) -> bool:
    """Delete one item; False if there is none. Responses that were asked for before it went are refused."""
    sql = """DELETE FROM conversation_items
      WHERE tenant_id = %(tenant_id)s AND conversation_id = %(id)s AND id = %(item_id)s AND NOT pending RETURNING id"""
    values = {"tenant_id": tenant_id, "id": conversation_id, "item_id": item_id}
    if await fetch_one(db, sql, values) is None:
        return False
    await db.execute(TAKE_PLACE, {"tenant_id": tenant_id, "id": conversation_id})
    return True

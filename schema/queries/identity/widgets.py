"""Chat widgets: API keys that are public (`schema/identity/public_keys.py`), and the conversations of their visitors."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.identity.public_keys import NO_DIGEST
from schema.postgres.batch import Statement
from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.pages import LAST_ID
from schema.states import LIVE_SQL


class WidgetSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a widget may do, and what it says at first. `origins` are the pages that may have it, as browsers send them;
    `messages_per_minute` is for all its visitors together."""

    agent: str
    origins: list[str]
    title: str
    greeting: str
    messages_per_minute: int


class StoredWidget(WidgetSettings, frozen=True, kw_only=True):
    """A widget's row. `find` is its public key without the prefix."""

    id: UUID
    find: str
    name: str
    created_by: str | None
    created_at: datetime
    last_used_at: datetime | None
    budget_day_nanos: int | None
    budget_month_nanos: int | None
    tokens_per_day: int | None


class Visit(msgspec.Struct, frozen=True):
    """A visitor's conversation. `job_id` is its last job, `live` whether that one has not ended."""

    digest: str
    widget_id: UUID
    turns: int
    job_id: UUID | None
    live: bool


ROW = ", ".join(name for name in StoredWidget.__struct_fields__ if name not in WidgetSettings.__struct_fields__)
LIVE = "tenant_id = %(tenant_id)s AND widget IS NOT NULL AND revoked_at IS NULL"

ADD = f"""
INSERT INTO api_keys (tenant_id, id, find, digest, name, role, scopes, created_by, widget, budget_day_nanos,
  budget_month_nanos, tokens_per_day)
SELECT %(tenant_id)s, %(id)s, %(find)s, '{NO_DIGEST}', %(name)s, 'member', '["chat"]', %(created_by)s, %(widget)s,
  %(budget_day_nanos)s, %(budget_month_nanos)s, %(tokens_per_day)s
WHERE (SELECT count(*) FROM api_keys WHERE {LIVE}) < %(most)s
RETURNING {ROW}, widget
"""

VISIT = f"""
SELECT s.visit_digest AS digest, s.widget_id, s.turns, j.id AS job_id, coalesce(j.state IN {LIVE_SQL}, false) AS live
FROM sessions s LEFT JOIN LATERAL (
  SELECT id, state FROM jobs WHERE tenant_id = s.tenant_id AND session_id = s.id ORDER BY turn DESC LIMIT 1) AS j ON true
WHERE s.tenant_id = %(tenant_id)s AND s.id = %(id)s AND s.visit_digest IS NOT NULL
"""

MARK_VISIT = """
UPDATE sessions SET widget_id = %(widget_id)s, visit_digest = %(digest)s WHERE tenant_id = %(tenant_id)s AND id = %(session_id)s
"""


async def add_widget(db: Db, tenant_id: UUID, values: Mapping[str, Any], *, most: int) -> StoredWidget | None:
    """Add a widget; None if the tenant has `most` of them."""
    row = await fetch_one(db, ADD, {**values, "tenant_id": tenant_id, "most": most, "widget": Jsonb(values["widget"])})
    return _widget(row) if row else None


async def list_widgets(db: Db, tenant_id: UUID, *, limit: int, before: UUID | None = None) -> list[StoredWidget]:
    """Return widgets that were not revoked, newest first."""
    sql = f"SELECT {ROW}, widget FROM api_keys WHERE {LIVE} AND id < %(before)s ORDER BY id DESC LIMIT %(limit)s"
    rows = await fetch_all(db, sql, {"tenant_id": tenant_id, "before": before or LAST_ID, "limit": limit})
    return [_widget(row) for row in rows]


async def find_widget(db: Db, tenant_id: UUID, widget_id: UUID) -> StoredWidget | None:
    """Return one widget that was not revoked."""
    sql = f"SELECT {ROW}, widget FROM api_keys WHERE {LIVE} AND id = %(id)s"
    row = await fetch_one(db, sql, {"tenant_id": tenant_id, "id": widget_id})
    return _widget(row) if row else None


async def change_widget(
    db: Db, tenant_id: UUID, widget_id: UUID, *, columns: Mapping[str, Any], settings: Mapping[str, Any]
) -> StoredWidget | None:
    """Set columns and settings of a widget and return it; None if there is none."""
    sets = "".join(f"{name} = %({name})s, " for name in columns)
    sql = f"UPDATE api_keys SET {sets}widget = widget || %(settings)s WHERE {LIVE} AND id = %(id)s RETURNING {ROW}, widget"
    values = {**columns, "settings": Jsonb(dict(settings)), "tenant_id": tenant_id, "id": widget_id}
    row = await fetch_one(db, sql, values)
    return _widget(row) if row else None


async def revoke_widget(db: Db, tenant_id: UUID, widget_id: UUID) -> str | None:
    """Revoke a widget's key and return the widget's name; None if there is none."""
    sql = f"UPDATE api_keys SET revoked_at = now() WHERE {LIVE} AND id = %(id)s RETURNING name"
    row = await fetch_one(db, sql, {"tenant_id": tenant_id, "id": widget_id})
    return row["name"] if row else None


async def find_visit(db: Db, tenant_id: UUID, session_id: UUID) -> Visit | None:
    """Return what is known of a visitor's conversation; None if it is nobody's or somebody's own."""
    return await fetch_one(db, VISIT, {"tenant_id": tenant_id, "id": session_id}, into=Visit)


def visit_statement(tenant_id: UUID, session_id: UUID, widget_id: UUID, digest: str) -> Statement:
    """Return the statement that gives a new session to a visitor, for the transaction that makes it."""
    return MARK_VISIT, {"tenant_id": tenant_id, "session_id": session_id, "widget_id": widget_id, "digest": digest}


def _widget(row: Mapping[str, Any]) -> StoredWidget:
    columns = {name: row[name] for name in row if name != "widget"}
    return msgspec.convert({**columns, **row["widget"]}, StoredWidget, strict=False)

"""What the system stores about one user: how it is shown to them, and how it is erased.

`PERSONAL` says it for every table that belongs to tenants, and a test fails when a table is missing there. A new table needs
one row: which of its rows are somebody's (`of`), what they are shown of it (`section`, `shown`) and how it goes (`erasures`,
or with which other table). Tables are erased in the order in which they stand.

Outside of Postgres there are, in Redis, the event streams and fences of their jobs (`api/users/privacy.py` removes
them) and the count of their failed sign-ins.

What stays: the audit log, a legal record to which rows are only ever added. It names the person by an id that then points to
nobody, and it goes when the tenant's `audit_days` are over. And what others hold: words that somebody wrote into another
person's session stay with that session.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from schema.db import Db, fetch_all, fetch_one
from schema.queries.sessions import sessions
from schema.states import LIVE_SQL

HeldRow = Mapping[str, Any]
"""A row of any of the tables, by the columns that are shown of it: an export writes it as it is."""

OWN = "user_id = %(user_id)s"
IN_OWN_SESSION = "session_id IN (SELECT id FROM sessions WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s)"
ACTED = """(actor = 'user:' || %(user_id)s::text OR actor IN (
  SELECT 'key:' || k.id FROM api_keys k WHERE k.tenant_id = %(tenant_id)s AND k.user_id = %(user_id)s))"""


MADE_BY = "Nothing personal but the id of its creator: what the tenant configured."


@dataclass(frozen=True)
class Erasure:
    """The rows that `of` finds are deleted or, with `change`, updated so that it finds them no more: an erasure is carried out
    until it finds nothing. The table's key is (tenant_id, `key`)."""

    of: str
    change: str | None = None
    key: str = "id"


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What one table holds of a person: `why` says it, and what becomes of it.

    `section` names the list of an export that shows `shown` of the rows which `of` finds, in the order of `key`, whose columns
    are among those shown. A table without one is not exported, and an export gives `why` as the reason.
    """

    why: str
    of: str | None = None
    section: str | None = None
    shown: str = ""
    key: tuple[str, ...] = ("id",)
    erasures: tuple[Erasure, ...] = ()


PERSONAL: dict[str, Holding] = {
    "cached_answers": Holding(  # before the jobs that they came from
        why="Questions with answers that may be reused; the user's questions are deleted.",
        erasures=(
            Erasure("scope = %(user_id)s::text"),
            Erasure(f"id IN (SELECT id FROM jobs WHERE tenant_id = %(tenant_id)s AND {OWN})"),
        ),
    ),
    "sessions": Holding(
        why="Conversations; deleted.",
        of=OWN,
        section="sessions",
        shown=sessions.COLUMNS,
        erasures=(Erasure(OWN),),
    ),
    "messages": Holding(
        why="What was said in their conversations; goes with the session.",
        of=IN_OWN_SESSION,
        section="messages",
        shown="session_id, turn, ordinal, id, job_id, role, parts, status, model, agent, usage, created_at",
        key=("session_id", "turn", "ordinal"),
    ),
    "jobs": Holding(
        why="What was asked for, and what came of it; deleted. Of what they did in sessions of others, the address goes.",
        of=OWN,
        section="jobs",
        shown="""id, kind, state, session_id, turn, model, agent, payload, result, error, actor, address, request_id,
          created_at, started_at, finished_at""",
        erasures=(Erasure(OWN), Erasure(f"address IS NOT NULL AND {ACTED}", "address = NULL")),
    ),
    "job_logs": Holding(
        why="Events of finished jobs; deleted with the job. Messages and results have the same content; the output of failed "
        "attempts and a model's reasoning are at GET /api/jobs/{job_id}/events.",
    ),
    "attempts": Holding(why="Which worker ran a job, and how that ended; deleted with the job."),
    "idempotency_keys": Holding(
        why="Idempotency keys of clients with hashes of their requests; deleted with the job, or after a day."
    ),
    "job_secrets": Holding(
        why="The encrypted token that a job was submitted with; deleted when the job ends, or with it."
    ),
    "usage_records": Holding(
        why="What was used and what it cost; becomes nobody's, since the money was spent.",
        of=OWN,
        section="usage",
        shown="id, day, agent, model, jobs, input_tokens, output_tokens, cost_nanos",
        erasures=(Erasure(OWN, "user_id = NULL"),),
    ),
    "audit_log": Holding(
        why="What they did; stays until the tenant's audit_days are over, under an id that points to nobody.",
        of=ACTED,
        section="audit",
        shown="id, at, actor, action, target, result, address, request_id, detail",
    ),
    "api_keys": Holding(  # after whatever is found by the ids of keys
        why="Keys that act for them; deleted.",
        of=OWN,
        section="api_keys",
        shown="id, find, name, role, scopes, created_by, created_at, expires_at, revoked_at, last_used_at",
        erasures=(Erasure(OWN),),
    ),
    "logins": Holding(
        why="Sign-ins, from where and with what; deleted.",
        of=OWN,
        section="sign_ins",
        shown="id, created_at, expires_at, revoked_at, revoked_for, address, client",
        erasures=(Erasure(OWN),),
    ),
    "refresh_tokens": Holding(why="Hashes of tokens; deleted with the sign-in."),
    "users": Holding(
        why="Who they are; deleted last (`delete_user`), so that an erasure that was interrupted can be begun again.",
        of="id = %(user_id)s",
        section="user",
        shown="""id, email, name, role, state, password_hash IS NOT NULL AS has_password, provider_id, subject, created_at,
          updated_at, last_login_at""",
    ),
    "identity_providers": Holding(why="Nothing personal but the id of its creator: where the tenant's users sign in."),
    "credentials": Holding(why="Nothing personal but the id of its creator: the tenant's keys of model providers."),
    "grants": Holding(why="Nothing personal but the id of its creator: what the tenant may use."),
    "memories": Holding(
        why="What was remembered about them; deleted.",
        of=OWN,
        section="memories",
        shown="id, text, created_at",
        erasures=(Erasure(OWN),),
    ),
    "feedback": Holding(
        why="What they think of answers; deleted.",
        of=OWN,
        section="feedback",
        shown="message_id, rating, comment, agent, created_at, updated_at",
        key=("message_id",),
        erasures=(Erasure(OWN, key="message_id"),),
    ),
    "learned_examples": Holding(
        why="Questions and answers that feedback turned into examples; deleted with the message."
    ),
    "tool_effects": Holding(why="Results of tool calls in a job, so that none is repeated; deleted with the job."),
    "documents": Holding(
        why="What they keep for themselves; deleted. Documents that they shared are the tenant's and stay.",
        of=OWN,
        section="documents",
        shown="id, name, title, metadata, source_url, pages, characters, chunks, created_at, updated_at",
        erasures=(Erasure(OWN),),
    ),
    "document_versions": Holding(
        why="Processing state of a document's files; deleted with the document and its files."
    ),
    "chunks": Holding(
        why="Passages of documents; deleted with the document. GET /api/documents/{document_id}/content returns it in full."
    ),
    "chunk_drafts": Holding(why="Passages in preparation; deleted with the document."),
    "chunk_vectors": Holding(why="Vectors of passages; deleted with the document."),
    "file_removals": Holding(why="Names of files that are about to be deleted; deleted with them."),
    "knowledge": Holding(why="Nothing personal: totals of the tenant's documents."),
    "collections": Holding(why=MADE_BY),
    "agents": Holding(why=MADE_BY),
    "tools": Holding(why=MADE_BY),
    "data_sources": Holding(why=MADE_BY),
    "configurations": Holding(why=MADE_BY),
    "pipelines": Holding(why=MADE_BY),
    "pipeline_versions": Holding(why=MADE_BY),
}

SECTIONS: dict[str, str] = {
    holding.section: table for table, holding in PERSONAL.items() if holding.section and table != "users"
}
"""The lists of an export, and the table that each comes from."""

LEFT_OUT: dict[str, str] = {table: holding.why for table, holding in PERSONAL.items() if holding.section is None}
"""The tables that an export leaves out, and why."""

LIVE_JOBS = f"""
SELECT id FROM jobs WHERE tenant_id = %(tenant_id)s AND {OWN} AND state IN {LIVE_SQL}
ORDER BY state = 'running', id DESC LIMIT %(limit)s
"""


async def list_held(
    db: Db, table: str, tenant_id: UUID, user_id: UUID, *, limit: int, after: Sequence[Any] | None = None
) -> Sequence[HeldRow]:
    """Return rows of a table as an export shows them; `after` is the key of the last row of the page before."""
    held = PERSONAL[table]
    key, places = ", ".join(held.key), ", ".join(f"%(after_{name})s" for name in held.key)
    past = f"AND ({key}) > ({places})" if after is not None else ""
    sql = f"""SELECT {held.shown} FROM {table} WHERE tenant_id = %(tenant_id)s AND {held.of} {past}
      ORDER BY {key} LIMIT %(limit)s"""
    values = {f"after_{name}": value for name, value in zip(held.key, after or (), strict=after is not None)}
    return await fetch_all(db, sql, {**values, "tenant_id": tenant_id, "user_id": user_id, "limit": limit})


async def count_held(db: Db, tenant_id: UUID, user_id: UUID) -> dict[str, int]:
    """Return how many rows an export has, by section."""
    counts: dict[str, int] = {}
    for section, table in SECTIONS.items():
        sql = f"SELECT count(*) AS held FROM {table} WHERE tenant_id = %(tenant_id)s AND {PERSONAL[table].of}"
        row = await fetch_one(db, sql, {"tenant_id": tenant_id, "user_id": user_id})
        counts[section] = row["held"] if row else 0
    return counts


async def list_live_jobs(db: Db, tenant_id: UUID, user_id: UUID, *, limit: int) -> list[UUID]:
    """Return a person's jobs that have not ended: those that wait before those that run, so that none takes the place of one
    that is cancelled; the newest first."""
    rows = await fetch_all(db, LIVE_JOBS, {"tenant_id": tenant_id, "user_id": user_id, "limit": limit})
    return [row["id"] for row in rows]


async def list_own_jobs(db: Db, tenant_id: UUID, user_id: UUID, *, limit: int, after: UUID | None = None) -> list[UUID]:
    """Return the ids of a person's jobs in order; `after` is the last of the page before."""
    sql = f"""SELECT id FROM jobs WHERE tenant_id = %(tenant_id)s AND {OWN}
      AND (%(after)s::uuid IS NULL OR id > %(after)s) ORDER BY id LIMIT %(limit)s"""
    values = {"tenant_id": tenant_id, "user_id": user_id, "limit": limit, "after": after}
    return [row["id"] for row in await fetch_all(db, sql, values)]


async def erase_held(
    db: Db, table: str, erasure: Erasure, tenant_id: UUID, user_id: UUID, *, limit: int, after: UUID | None = None
) -> list[UUID]:
    """Carry out a batch of an erasure and return the ids of its rows in order; `after` is the last id of the batch before."""
    verb = f"UPDATE {table} SET {erasure.change}" if erasure.change else f"DELETE FROM {table}"
    key = erasure.key
    sql = f"""{verb} WHERE tenant_id = %(tenant_id)s AND {key} IN (
        SELECT {key} FROM {table} WHERE tenant_id = %(tenant_id)s AND {erasure.of}
          AND (%(after)s::uuid IS NULL OR {key} > %(after)s)
        ORDER BY {key} LIMIT %(limit)s)
      RETURNING {key} AS id"""
    values = {"tenant_id": tenant_id, "user_id": user_id, "limit": limit, "after": after}
    return sorted(row["id"] for row in await fetch_all(db, sql, values))

"""What the system stores about one user: how it is shown to them, and how it is erased.

`PERSONAL_DATA` says it for every table that belongs to tenants, and a test fails when a table is missing there. A new table
needs one row: which of its rows are somebody's (`where`), what an export shows of them (`section`, `columns`) and how they are
erased (`erasures`, or with which other table). Tables are erased in the order in which they are listed.

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

from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.sessions import sessions
from schema.states import LIVE_SQL

ExportedRow = Mapping[str, Any]
"""A row of any of the tables, by the columns that are shown of it: an export writes it as it is."""

WHERE_USER = "user_id = %(user_id)s"
WHERE_OWN_SESSION = "session_id IN (SELECT id FROM sessions WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s)"
WHERE_ACTOR = """(actor = 'user:' || %(user_id)s::text OR actor IN (
  SELECT 'key:' || k.id FROM api_keys k WHERE k.tenant_id = %(tenant_id)s AND k.user_id = %(user_id)s))"""


ONLY_CREATOR_ID = "Nothing personal but the id of its creator: what the tenant configured."
ONLY_CREATED = """collections agents agent_versions tools data_sources configurations pipelines pipeline_versions"""


@dataclass(frozen=True)
class Erasure:
    """The rows that `where` finds are deleted or, with `change`, updated so that it finds them no more: an erasure is repeated
    until it finds nothing. The table's key is (tenant_id, `key`)."""

    where: str
    change: str | None = None
    key: str = "id"


@dataclass(frozen=True, kw_only=True)
class PersonalData:
    """What one table holds about a person: `description` says what, and what becomes of it.

    `section` names the list of an export that shows `columns` of the rows which `where` finds, in the order of `key` (which is
    among these columns). A table without one is not exported, and an export gives `description` as the reason.
    """

    description: str
    where: str | None = None
    section: str | None = None
    columns: str = ""
    key: tuple[str, ...] = ("id",)
    erasures: tuple[Erasure, ...] = ()


PERSONAL_DATA: dict[str, PersonalData] = {
    "cached_answers": PersonalData(  # before the jobs that they came from
        description="Questions with answers that may be reused; the user's questions are deleted.",
        erasures=(
            Erasure("scope = %(user_id)s::text"),
            Erasure(f"id IN (SELECT id FROM jobs WHERE tenant_id = %(tenant_id)s AND {WHERE_USER})"),
        ),
    ),
    "sessions": PersonalData(
        description="Conversations; deleted.",
        where=WHERE_USER,
        section="sessions",
        columns=sessions.COLUMNS,
        erasures=(Erasure(WHERE_USER),),
    ),
    "messages": PersonalData(
        description="What was said in their conversations; goes with the session.",
        where=WHERE_OWN_SESSION,
        section="messages",
        columns="session_id, turn, ordinal, id, job_id, role, parts, status, model, agent, usage, created_at",
        key=("session_id", "turn", "ordinal"),
    ),
    "jobs": PersonalData(
        description="What was asked for, and what came of it; deleted. Of what they did in sessions of others, the address "
        "goes.",
        where=WHERE_USER,
        section="jobs",
        columns="""id, kind, state, session_id, turn, model, agent, payload, result, error, actor, address, request_id,
          traceparent, metadata, callback ->> 'url' AS callback_url, run_at, created_at, started_at, finished_at""",
        erasures=(Erasure(WHERE_USER), Erasure(f"address IS NOT NULL AND {WHERE_ACTOR}", "address = NULL")),
    ),
    "job_logs": PersonalData(
        description="Events of finished jobs; deleted with the job. Messages and results have the same content; the output of "
        "failed attempts and a model's reasoning are at GET /api/jobs/{job_id}/events.",
    ),
    "attempts": PersonalData(description="Which worker ran a job, and how that ended; deleted with the job."),
    "idempotency_keys": PersonalData(
        description="Idempotency keys of clients with hashes of their requests; deleted with the job, or after a day."
    ),
    "job_secrets": PersonalData(
        description="The encrypted token that a job was submitted with; deleted when the job ends, or with it."
    ),
    "usage_records": PersonalData(
        description="What was used and what it cost; becomes nobody's, since the money was spent.",
        where=WHERE_USER,
        section="usage",
        columns="id, day, agent, model, jobs, input_tokens, output_tokens, cost_nanos, own_key_input_tokens, "
        "own_key_output_tokens",
        erasures=(Erasure(WHERE_USER, "user_id = NULL, key_id = NULL"),),
    ),
    "audit_log": PersonalData(
        description="What they did; stays until the tenant's audit_days are over, under an id that points to nobody.",
        where=WHERE_ACTOR,
        section="audit",
        columns="id, at, actor, action, target, result, address, request_id, detail",
    ),
    "api_keys": PersonalData(  # after whatever is found by the ids of keys
        description="Keys that act for them; deleted.",
        where=WHERE_USER,
        section="api_keys",
        columns="id, find, name, role, scopes, created_by, created_at, expires_at, revoked_at, last_used_at, "
        "budget_day_nanos, budget_month_nanos, tokens_per_day, front_end_prompts",
        erasures=(Erasure(WHERE_USER),),
    ),
    "logins": PersonalData(
        description="Sign-ins, from where and with what; deleted.",
        where=WHERE_USER,
        section="sign_ins",
        columns="id, created_at, expires_at, revoked_at, revoked_for, address, client",
        erasures=(Erasure(WHERE_USER),),
    ),
    "refresh_tokens": PersonalData(description="Hashes of tokens; deleted with the sign-in."),
    "browser_sessions": PersonalData(description="Hashes of cookies; deleted with the sign-in or the key."),
    "sign_in_codes": PersonalData(description="Hashes of codes; deleted with the key."),
    "users": PersonalData(
        description="Who they are; deleted last (`delete_user`), so that an erasure that was interrupted can be begun again.",
        where="id = %(user_id)s",
        section="user",
        columns="""id, email, name, role, state, password_hash IS NOT NULL AS has_password, provider_id, subject, created_at,
          updated_at, last_login_at, budget_day_nanos, budget_month_nanos, tokens_per_day""",
    ),
    "identity_providers": PersonalData(
        description="Nothing personal but the id of its creator: where the tenant's users sign in."
    ),
    "credentials": PersonalData(
        description="Nothing personal but the id of its creator: the tenant's keys of model providers."
    ),
    "grants": PersonalData(description="Nothing personal but the id of its creator: what the tenant may use."),
    "egress_grants": PersonalData(
        description="Nothing personal but the id of its creator: hosts the tenant may reach."
    ),
    "memories": PersonalData(
        description="What was remembered about them; deleted.",
        where=WHERE_USER,
        section="memories",
        columns="id, text, created_at",
        erasures=(Erasure(WHERE_USER),),
    ),
    "feedback": PersonalData(
        description="What they think of answers; deleted.",
        where=WHERE_USER,
        section="feedback",
        columns="message_id, rating, comment, agent, created_at, updated_at",
        key=("message_id",),
        erasures=(Erasure(WHERE_USER, key="message_id"),),
    ),
    "learned_examples": PersonalData(
        description="Questions and answers that feedback turned into examples; deleted with the message."
    ),
    "triggers": PersonalData(
        description="Triggers whose jobs run in their name; deleted.",
        where=WHERE_USER,
        section="triggers",
        columns="id, name, kind, job, auth, calls_per_minute, enabled, created_at, updated_at",
        erasures=(Erasure(WHERE_USER),),
    ),
    "trigger_calls": PersonalData(description="The last calls of a trigger; deleted with it."),
    "webhook_deliveries": PersonalData(
        description="Messages to the tenant's systems about their jobs and documents, by ids; deleted, also those that wait.",
        where=WHERE_USER,
        section="webhook_deliveries",
        columns="id, event_id, endpoint_id, callback ->> 'url' AS callback_url, type, occurred_at, job_id, document_id, data, "
        "state, last_status, created_at, ended_at",
        erasures=(Erasure(WHERE_USER),),
    ),
    "webhook_attempts": PersonalData(description="How receivers answered these messages; deleted with the message."),
    "webhook_endpoints": PersonalData(description=ONLY_CREATOR_ID),
    "callback_secrets": PersonalData(description="Nothing personal: the secret that signs callbacks of jobs."),
    "tool_effects": PersonalData(
        description="Results of tool calls in a job, so that none is repeated; deleted with the job."
    ),
    "conversations": PersonalData(
        description="Conversations that their clients keep here; deleted.",
        where=WHERE_USER,
        section="conversations",
        columns="id, metadata, created_at, updated_at",
        erasures=(Erasure(WHERE_USER),),
    ),
    "conversation_items": PersonalData(
        description="What was said in these conversations; goes with the conversation.",
        where="conversation_id IN (SELECT id FROM conversations WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s)",
        section="conversation_items",
        columns="conversation_id, place, ordinal, id, item",
        key=("conversation_id", "place", "ordinal"),
    ),
    "batches": PersonalData(
        description="Batches of requests that they created; deleted with the job. Their results are files.",
        where=WHERE_USER,
        section="batches",
        columns="id, input_file_id, endpoint, total, completed, failed, usage, errors, outcome, started_at, cancelling_at, "
        "finalizing_at, ended_at, output_file_id, error_file_id, output_ttl_s",
        erasures=(Erasure(WHERE_USER),),
    ),
    "batch_lines": PersonalData(
        description="Requests of a batch that goes on, which are in its input file; deleted with the batch, or when it ends."
    ),
    "benchmarks": PersonalData(
        description="Benchmarks that they ran, with their prompts; deleted with the job.",
        where=WHERE_USER,
        section="benchmarks",
        columns="id, models, settings, total, created_at",
        erasures=(Erasure(WHERE_USER),),
    ),
    "benchmark_iterations": PersonalData(
        description="Measured calls of models, without what was said; deleted with the benchmark."
    ),
    "benchmark_results": PersonalData(description="Figures of benchmarks; deleted with them."),
    "benchmark_items": PersonalData(description="How questions of datasets came out; deleted with the benchmark."),
    "datasets": PersonalData(description=ONLY_CREATOR_ID),
    "dataset_items": PersonalData(
        description="Questions that the tenant has collected; those that come from feedback are deleted with their message."
    ),
    "schedules": PersonalData(
        description="Jobs that they let start by themselves; deleted.",
        where=WHERE_USER,
        section="schedules",
        columns="id, name, kind, job, cron, timezone, starts_at, ends_at, on_missed, on_overlap, session, session_id, state, "
        "reason, next_at, created_at, updated_at",
        erasures=(Erasure(WHERE_USER),),
    ),
    "schedule_runs": PersonalData(description="When their schedules were due; deleted with the schedule."),
    "documents": PersonalData(
        description="What they keep for themselves; deleted. Documents that they shared are the tenant's and stay.",
        where=WHERE_USER,
        section="documents",
        columns="id, name, title, metadata, source_url, pages, characters, chunks, created_at, updated_at",
        erasures=(Erasure(WHERE_USER),),
    ),
    "document_versions": PersonalData(
        description="Processing state of a document's files; deleted with the document and its files."
    ),
    "chunks": PersonalData(
        description="Passages of documents; deleted with the document. GET /api/documents/{document_id}/content returns it in "
        "full."
    ),
    "chunk_drafts": PersonalData(description="Passages in preparation; deleted with the document."),
    "chunk_vectors": PersonalData(description="Vectors of passages; deleted with the document."),
    "files": PersonalData(
        description="What their clients keep here, and archives of their old sessions; deleted.",
        where=WHERE_USER,
        section="files",
        columns="id, name, purpose, media_type, size_bytes, created_at, expires_at",
        erasures=(Erasure(WHERE_USER),),
    ),
    "file_removals": PersonalData(description="Names of files that are about to be deleted; deleted with them."),
    "usage_days": PersonalData(description="Nothing personal: what the whole tenant used each day."),
    "job_samples": PersonalData(description="Nothing personal: times and usage of jobs that have just ended."),
    "performance_counts": PersonalData(description="Nothing personal: how fast the tenant's jobs were."),
    "tallies": PersonalData(description="Nothing personal: how many jobs, sessions and messages the tenant has."),
    "tally_marks": PersonalData(description="Nothing personal: how far the tenant's jobs are counted."),
    "knowledge": PersonalData(description="Nothing personal: totals of the tenant's documents."),
    **dict.fromkeys(ONLY_CREATED.split(), PersonalData(description=ONLY_CREATOR_ID)),
}

SECTIONS: dict[str, str] = {
    data.section: table for table, data in PERSONAL_DATA.items() if data.section and table != "users"
}
"""The lists of an export, and the table that each comes from."""

NOT_EXPORTED: dict[str, str] = {
    table: data.description for table, data in PERSONAL_DATA.items() if data.section is None
}
"""The tables that an export leaves out, and why."""

LIVE_JOBS = f"""
SELECT id FROM jobs WHERE tenant_id = %(tenant_id)s AND {WHERE_USER} AND state IN {LIVE_SQL}
ORDER BY state = 'running', id DESC LIMIT %(limit)s
"""


async def list_exported_rows(
    db: Db, table: str, tenant_id: UUID, user_id: UUID, *, limit: int, after: Sequence[Any] | None = None
) -> Sequence[ExportedRow]:
    """Return rows of a table as an export shows them; `after` is the key of the last row of the page before."""
    data = PERSONAL_DATA[table]
    key, places = ", ".join(data.key), ", ".join(f"%(after_{name})s" for name in data.key)
    past = f"AND ({key}) > ({places})" if after is not None else ""
    sql = f"""SELECT {data.columns} FROM {table} WHERE tenant_id = %(tenant_id)s AND {data.where} {past}
      ORDER BY {key} LIMIT %(limit)s"""
    values = {f"after_{name}": value for name, value in zip(data.key, after or (), strict=after is not None)}
    return await fetch_all(db, sql, {**values, "tenant_id": tenant_id, "user_id": user_id, "limit": limit})


async def count_exported_rows(db: Db, tenant_id: UUID, user_id: UUID) -> dict[str, int]:
    """Return how many rows an export has, by section."""
    counts: dict[str, int] = {}
    for section, table in SECTIONS.items():
        sql = f"SELECT count(*) AS held FROM {table} WHERE tenant_id = %(tenant_id)s AND {PERSONAL_DATA[table].where}"
        row = await fetch_one(db, sql, {"tenant_id": tenant_id, "user_id": user_id})
        counts[section] = row["held"] if row else 0
    return counts


async def list_live_jobs(db: Db, tenant_id: UUID, user_id: UUID, *, limit: int) -> list[UUID]:
    """Return a person's jobs that have not ended: those that wait before those that run, so that none takes the place of one
    that is cancelled; the newest first."""
    rows = await fetch_all(db, LIVE_JOBS, {"tenant_id": tenant_id, "user_id": user_id, "limit": limit})
    return [row["id"] for row in rows]


async def list_user_jobs(
    db: Db, tenant_id: UUID, user_id: UUID, *, limit: int, after: UUID | None = None
) -> list[UUID]:
    """Return the ids of a person's jobs in order; `after` is the last of the page before."""
    sql = f"""SELECT id FROM jobs WHERE tenant_id = %(tenant_id)s AND {WHERE_USER}
      AND (%(after)s::uuid IS NULL OR id > %(after)s) ORDER BY id LIMIT %(limit)s"""
    values = {"tenant_id": tenant_id, "user_id": user_id, "limit": limit, "after": after}
    return [row["id"] for row in await fetch_all(db, sql, values)]


async def erase_rows(
    db: Db, table: str, erasure: Erasure, tenant_id: UUID, user_id: UUID, *, limit: int, after: UUID | None = None
) -> list[UUID]:
    """Carry out a batch of an erasure and return the ids of its rows in order; `after` is the last id of the batch before."""
    verb = f"UPDATE {table} SET {erasure.change}" if erasure.change else f"DELETE FROM {table}"
    key = erasure.key
    sql = f"""{verb} WHERE tenant_id = %(tenant_id)s AND {key} IN (
        SELECT {key} FROM {table} WHERE tenant_id = %(tenant_id)s AND {erasure.where}
          AND (%(after)s::uuid IS NULL OR {key} > %(after)s)
        ORDER BY {key} LIMIT %(limit)s)
      RETURNING {key} AS id"""
    values = {"tenant_id": tenant_id, "user_id": user_id, "limit": limit, "after": after}
    return sorted(row["id"] for row in await fetch_all(db, sql, values))

"""the foundation.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. A table
with `tenant_id` gets forced row-level security in the same migration (`schema/migrations/security.py`).
"""

from collections.abc import Mapping

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from schema.migrations import security

revision = "0001"
down_revision = None

TABLES = ("api_keys", "sessions", "jobs", "messages", "attempts", "job_logs", "idempotency_keys")

# What the dispatcher and the sweeper may see and change of a job: the queue, never what was said.
SEEN = """tenant_id, id, kind, queue, state, priority, session_id, turn, parked, run_at, deadline_at, attempt, tries,
  max_tries, dispatch_seq, dispatched_at, lease_owner, lease_until, cancel_requested, inbox, created_at, finished_at"""
MOVED = "state, parked, run_at, tries, dispatch_seq, dispatched_at, lease_owner, lease_until"

# A key is looked up before its tenant is known.
FIND_API_KEY = """
CREATE FUNCTION find_api_key(wanted text)
RETURNS TABLE (tenant_id uuid, id uuid, digest text, name text, role text, scopes jsonb, expires_at timestamptz,
  revoked_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT k.tenant_id, k.id, k.digest, k.name, k.role, k.scopes, k.expires_at, k.revoked_at
  FROM api_keys k WHERE k.find = wanted
$$;
"""

# A tenant that submits must know whether the queue's window has room, and nothing else of other tenants.
WINDOW_IS_FULL = """
CREATE FUNCTION window_is_full(wanted text, size integer) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT count(*) >= size FROM (
    SELECT 1 FROM jobs j WHERE j.queue = wanted AND j.state = 'dispatched' LIMIT size) AS waiting
$$;
"""

# A statement of a batch can't be told to stop, so what must stop it raises (`schema/postgres/batch.py`).
REFUSE = """
CREATE FUNCTION refuse(code text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'refused' USING ERRCODE = code;
END $$;
GRANT EXECUTE ON FUNCTION refuse(text) TO headrace_app;
"""

# What the planner should expect before there are rows: few tenants, ids that hardly repeat. Knowing nothing, it looks a
# session's jobs up among all jobs of the tenant, and a prepared statement keeps that plan until the first ANALYZE.
EXPECTED = {  # column: distinct values, negative as a share of the rows
    "jobs": {"tenant_id": 10, "id": -1, "session_id": -0.5},
    "messages": {"tenant_id": 10, "id": -1, "session_id": -0.2},
    "sessions": {"tenant_id": 10, "id": -1},
    "attempts": {"tenant_id": 10, "job_id": -0.9},
    "idempotency_keys": {"tenant_id": 10, "key": -1, "job_id": -1},
}


def expect(table: str, columns: Mapping[str, float]) -> str:
    """Return the SQL that gives `table` these statistics until the first ANALYZE has real ones (Postgres 18)."""
    name = f"'schemaname', 'public', 'relname', '{table}'"
    calls: list[str] = []
    for column, distinct in columns.items():
        width = "'null_frac', 0::real, 'avg_width', 16"
        about = f"{name}, 'attname', '{column}', 'inherited', false, {width}, 'n_distinct', ({distinct})::real"
        calls.append(f"PERFORM pg_restore_attribute_stats({about});")
    body = "\n".join(calls)
    return f"""
DO $$ BEGIN
  IF current_setting('server_version_num')::int >= 180000 THEN
    {body}
  END IF;
END $$;
"""


def upgrade() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("weight", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("max_running", sa.Integer(), server_default=sa.text("100"), nullable=False),
        sa.Column("max_queued", sa.Integer(), server_default=sa.text("20000"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("slug"),
    )
    op.create_table(
        "api_keys",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("find", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), server_default=sa.text("'member'"), nullable=False),
        sa.Column("scopes", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("find"),
    )
    op.create_table(
        "sessions",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("turns", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index(
        "sessions_recent",
        "sessions",
        ["tenant_id", sa.literal_column("updated_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_table(
        "jobs",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("queue", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("turn", sa.Integer(), nullable=True),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("agent", sa.String(), nullable=True),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("error", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("parked", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("run_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_tries", sa.Integer(), nullable=False),
        sa.Column("dispatch_seq", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_owner", sa.String(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested", sa.String(), nullable=True),
        sa.Column("inbox", sa.String(), nullable=True),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'dispatched', 'running', 'succeeded', 'failed', 'cancelled')", name="jobs_state"
        ),
        sa.ForeignKeyConstraint(["tenant_id", "session_id"], ["sessions.tenant_id", "sessions.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index(
        "jobs_deadlines",
        "jobs",
        ["deadline_at"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_index(
        "jobs_dispatched",
        "jobs",
        ["queue", "dispatched_at"],
        unique=False,
        postgresql_where=sa.text("state = 'dispatched'"),
    )
    op.create_index(
        "jobs_failed", "jobs", ["tenant_id", "id"], unique=False, postgresql_where=sa.text("state = 'failed'")
    )
    op.create_index(
        "jobs_in_flight",
        "jobs",
        ["tenant_id", "queue"],
        unique=False,
        postgresql_where=sa.text("state IN ('dispatched', 'running')"),
    )
    op.create_index("jobs_leases", "jobs", ["lease_until"], unique=False, postgresql_where=sa.text("state = 'running'"))
    op.create_index(
        "jobs_of_session",
        "jobs",
        ["tenant_id", "session_id", "turn"],
        unique=False,
        postgresql_where=sa.text("session_id IS NOT NULL"),
    )
    op.create_index(
        "jobs_turn",
        "jobs",
        ["tenant_id", "session_id"],
        unique=True,
        postgresql_where=sa.text(
            "session_id IS NOT NULL AND NOT parked AND state IN ('queued', 'dispatched', 'running')"
        ),
    )
    op.create_index(
        "jobs_waiting",
        "jobs",
        ["tenant_id", "queue", "parked", "priority", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_table(
        "messages",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("parts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("status", sa.String(), server_default=sa.text("'completed'"), nullable=False),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("agent", sa.String(), nullable=True),
        sa.Column("usage", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id", "session_id"], ["sessions.tenant_id", "sessions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "session_id", "turn", "ordinal", name="messages_place"),
    )
    op.create_table(
        "attempts",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("error", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id", "job_id"], ["jobs.tenant_id", "jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "job_id", "attempt"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "job_id"],
            ["jobs.tenant_id", "jobs.id"],
            ondelete="CASCADE",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("tenant_id", "route", "key"),
    )
    op.create_index("idempotency_keys_job", "idempotency_keys", ["tenant_id", "job_id"], unique=False)
    op.create_table(
        "job_logs",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.Column("frames", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id", "job_id"], ["jobs.tenant_id", "jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "job_id"),
    )
    op.execute(security.ROLES)
    op.execute(security.CURRENT_TENANT)
    op.execute(REFUSE)
    for table in TABLES:
        op.execute(security.isolate(table))
        op.execute(security.open_to_owner(table))
    op.execute(security.isolate("tenants", column="id", rights="SELECT"))
    op.execute(security.open_to_owner("tenants"))
    op.execute(security.open_to_system("tenants", rights="SELECT"))
    op.execute(security.open_to_system("jobs", rights=f"SELECT ({SEEN}), UPDATE ({MOVED})"))
    op.execute(security.open_to_system("attempts", rights="SELECT, UPDATE"))
    op.execute(security.open_to_system("api_keys", rights="SELECT"))
    op.execute(security.as_system(FIND_API_KEY, "find_api_key(text)"))
    op.execute(security.as_system(WINDOW_IS_FULL, "window_is_full(text, integer)"))
    for table, columns in EXPECTED.items():
        op.execute(expect(table, columns))


def downgrade() -> None:
    raise NotImplementedError("the foundation has nothing below it: drop the database instead")

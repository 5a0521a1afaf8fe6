"""webhooks: endpoints, the outbox of deliveries with their attempts, and callbacks of jobs.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. A table
with `tenant_id` gets forced row-level security in the same migration (`schema/migrations/security.py`).
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from schema.migrations import security

revision = "0011"
down_revision = "0010"

USES_BEFORE = "use IN ('tools', 'documents', 'providers', 'sign_in')"
USES = "use IN ('tools', 'documents', 'providers', 'sign_in', 'webhooks')"

# What the deliverer may see and change of a delivery across tenants: when it is due and who has it, never what it says.
SEEN = """tenant_id, id, lane, state, attempt, tries, next_at, lease_owner, lease_until, created_at, ended_at"""
MOVED = "state, attempt, tries, next_at, lease_owner, lease_until"

# Writes the deliveries of an event into the transaction in which it happens, one for each endpoint that wants it and one for the
# job's callback. Filters by kind and agent are about events of jobs.
ANNOUNCE = """
CREATE FUNCTION announce(tenant uuid, event_type text, about jsonb, of_kind text, of_agent text, callback jsonb, of_user uuid,
  of_job uuid, of_document uuid) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  event uuid := uuidv7();
  place bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
  wanted text[] := ARRAY[event_type, split_part(event_type, '.', 1) || '.*', '*'];
  written integer;
BEGIN
  INSERT INTO webhook_deliveries (tenant_id, id, event_id, endpoint_id, callback, lane, type, occurred_at, sequence, job_id,
    document_id, user_id, data)
  SELECT tenant, uuidv7(), event, e.id, NULL::jsonb, e.id::text, event_type, now(), place, of_job, of_document, of_user, about
  FROM webhook_endpoints e
  WHERE e.tenant_id = tenant AND e.enabled AND e.events ?| wanted
    AND (of_kind IS NULL OR (e.kinds = '[]' OR e.kinds ? of_kind) AND (e.agents = '[]' OR e.agents ? coalesce(of_agent, '')))
  UNION ALL
  SELECT tenant, uuidv7(), event, NULL, callback, 'callback ' || lower(substring(callback ->> 'url' FROM '^[^:]+://[^/?#]*')),
    event_type, now(), place, of_job, of_document, of_user, about
  WHERE callback -> 'events' ?| wanted;
  GET DIAGNOSTICS written = ROW_COUNT;
  RETURN written;
END $$;
GRANT EXECUTE ON FUNCTION announce(uuid, text, jsonb, text, text, jsonb, uuid, uuid, uuid) TO headrace_app;
"""

# Files are published, fail, and are failed with their job, in several statements; their state tells of all of them.
VERSION_ENDED = """
CREATE FUNCTION version_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM webhook_endpoints e WHERE e.tenant_id = NEW.tenant_id AND e.enabled) THEN
    PERFORM announce(NEW.tenant_id, 'document.' || NEW.state, jsonb_build_object('document_id', NEW.document_id, 'version', NEW.version,
      'job_id', NEW.job_id, 'state', NEW.state, 'error', CASE WHEN NEW.error IS NOT NULL THEN
        jsonb_build_object('code', NEW.error ->> 'code') END), NULL, NULL, NULL,
      (SELECT d.user_id FROM documents d WHERE d.tenant_id = NEW.tenant_id AND d.id = NEW.document_id), NEW.job_id,
      NEW.document_id);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER version_ended AFTER UPDATE OF state ON document_versions FOR EACH ROW
  WHEN (NEW.state <> OLD.state AND NEW.state IN ('ready', 'failed')) EXECUTE FUNCTION version_ended();
"""

# As in 0003, and the new tables.
SEALED_BEFORE = """
CREATE OR REPLACE FUNCTION sealed_with() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT key_id FROM credentials UNION SELECT key_id FROM identity_providers WHERE key_id IS NOT NULL
  UNION SELECT key_id FROM job_secrets UNION SELECT key_id FROM signing_keys
  UNION SELECT key_id FROM tools WHERE key_id IS NOT NULL UNION SELECT key_id FROM data_sources{more}
$$;
"""
MORE_SEALED = """
  UNION SELECT key_id FROM webhook_endpoints UNION SELECT key_id FROM callback_secrets"""


def _empty_list(name: str) -> sa.Column[Any]:
    return sa.Column(name, postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False)


def _time(name: str, *, default: bool = False) -> sa.Column[Any]:
    kind = sa.DateTime(timezone=True)
    return sa.Column(name, kind, server_default=sa.text("now()") if default else None, nullable=not default)


def upgrade() -> None:
    op.drop_constraint("egress_grants_use", "egress_grants")
    op.create_check_constraint("egress_grants_use", "egress_grants", USES)
    op.add_column("jobs", sa.Column("callback", postgresql.JSONB(), nullable=True))
    op.create_table(
        "webhook_endpoints",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("description", sa.String(), server_default="", nullable=False),
        sa.Column("events", postgresql.JSONB(), nullable=False),
        _empty_list("kinds"),
        _empty_list("agents"),
        _empty_list("include"),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        _time("failing_since"),
        _time("disabled_at"),
        sa.Column("disabled_for", sa.String(), nullable=True),
        _time("created_at", default=True),
        _time("updated_at", default=True),
        sa.Column("created_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_table(
        "callback_secrets",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        _time("created_at", default=True),
        _time("rotated_at"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id"),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=True),
        sa.Column("callback", postgresql.JSONB(), nullable=True),
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        _time("occurred_at", default=True),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("document_id", sa.Uuid(), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.String(), server_default="pending", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        _time("next_at", default=True),
        sa.Column("lease_owner", sa.String(), nullable=True),
        _time("lease_until"),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.String(), nullable=True),
        _time("created_at", default=True),
        _time("ended_at"),
        sa.CheckConstraint(
            "state IN ('pending', 'sending', 'paused', 'delivered', 'exhausted')", name="webhook_deliveries_state"
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "endpoint_id"], ["webhook_endpoints.tenant_id", "webhook_endpoints.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index(
        "webhook_deliveries_due",
        "webhook_deliveries",
        ["tenant_id", "lane", "next_at", "id"],
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "webhook_deliveries_sending",
        "webhook_deliveries",
        ["tenant_id", "lane"],
        postgresql_where=sa.text("state = 'sending'"),
    )
    op.create_index("webhook_deliveries_of_endpoint", "webhook_deliveries", ["tenant_id", "endpoint_id", "state", "id"])
    op.create_index("webhook_deliveries_of_type", "webhook_deliveries", ["tenant_id", "type", "state", "id"])
    op.create_index("webhook_deliveries_in_state", "webhook_deliveries", ["tenant_id", "state", "id"])
    op.create_index("webhook_deliveries_of_job", "webhook_deliveries", ["tenant_id", "job_id", "id"])
    op.create_index(
        "webhook_deliveries_ended", "webhook_deliveries", ["ended_at"], postgresql_where=sa.text("ended_at IS NOT NULL")
    )
    op.create_table(
        "webhook_attempts",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        _time("started_at", default=True),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("detail", sa.String(), nullable=True),
        sa.Column("response", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "delivery_id"], ["webhook_deliveries.tenant_id", "webhook_deliveries.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "delivery_id", "attempt"),
    )
    for table in ("webhook_endpoints", "callback_secrets", "webhook_deliveries", "webhook_attempts"):
        op.execute(security.isolate(table))
        op.execute(security.open_to_owner(table))
    op.execute(security.open_to_system("webhook_deliveries", rights=f"SELECT ({SEEN}), UPDATE ({MOVED}), DELETE"))
    for table in ("webhook_endpoints", "callback_secrets"):
        op.execute(security.open_to_system(table, rights="SELECT (key_id)"))
    op.execute(security.as_system(SEALED_BEFORE.format(more=MORE_SEALED), "sealed_with()"))
    op.execute(ANNOUNCE)
    op.execute(VERSION_ENDED)


def downgrade() -> None:
    op.execute("DROP TRIGGER version_ended ON document_versions")
    op.execute("DROP FUNCTION version_ended()")
    op.execute("DROP FUNCTION announce(uuid, text, jsonb, text, text, jsonb, uuid, uuid, uuid)")
    op.execute(security.as_system(SEALED_BEFORE.format(more=""), "sealed_with()"))
    for table in ("webhook_attempts", "webhook_deliveries", "callback_secrets", "webhook_endpoints"):
        op.drop_table(table)
    op.drop_column("jobs", "callback")
    op.execute("DELETE FROM egress_grants WHERE use = 'webhooks'")
    op.drop_constraint("egress_grants_use", "egress_grants")
    op.create_check_constraint("egress_grants_use", "egress_grants", USES_BEFORE)

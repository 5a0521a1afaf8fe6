"""triggers: addresses that start a job from a template, and the last calls of each.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. A table
with `tenant_id` gets forced row-level security in the same migration (`schema/migrations/security.py`).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from schema.migrations import security

revision = "0013"
down_revision = "0012"

# A trigger is called before its tenant is known.
FIND_TRIGGER = """
CREATE FUNCTION find_trigger_tenant(wanted uuid) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT t.tenant_id FROM triggers t WHERE t.id = wanted
$$;
"""

# As in 0015, and triggers.
SEALED_WITH = """
CREATE OR REPLACE FUNCTION sealed_with() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT key_id FROM credentials UNION SELECT key_id FROM identity_providers WHERE key_id IS NOT NULL
  UNION SELECT key_id FROM job_secrets UNION SELECT key_id FROM signing_keys
  UNION SELECT key_id FROM tools WHERE key_id IS NOT NULL UNION SELECT key_id FROM data_sources
  UNION SELECT key_id FROM webhook_endpoints UNION SELECT key_id FROM callback_secrets{more}
$$;
"""


def upgrade() -> None:
    op.create_table(
        "triggers",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("job", postgresql.JSONB(), nullable=False),
        sa.Column("compiled", postgresql.JSONB(), nullable=False),
        sa.Column("auth", sa.String(), nullable=False),
        sa.Column("calls_per_minute", sa.Integer(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("id", name="triggers_id"),
    )
    op.create_table(
        "trigger_calls",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("trigger_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=True),
        sa.Column("delivery_id", sa.String(), nullable=True),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id", "trigger_id"], ["triggers.tenant_id", "triggers.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index("trigger_calls_of_trigger", "trigger_calls", ["tenant_id", "trigger_id", "id"])
    for table in ("triggers", "trigger_calls"):
        op.execute(security.isolate(table))
        op.execute(security.open_to_owner(table))
    op.execute(security.open_to_system("triggers", rights="SELECT (tenant_id, id, key_id)"))
    op.execute(security.as_system(FIND_TRIGGER, "find_trigger_tenant(uuid)"))
    more = "\n  UNION SELECT key_id FROM triggers"
    op.execute(security.as_system(SEALED_WITH.format(more=more), "sealed_with()"))


def downgrade() -> None:
    op.execute(security.as_system(SEALED_WITH.format(more=""), "sealed_with()"))
    op.execute("DROP FUNCTION find_trigger_tenant(uuid)")
    for table in ("trigger_calls", "triggers"):
        op.drop_table(table)

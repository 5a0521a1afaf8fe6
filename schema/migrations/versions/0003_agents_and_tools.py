"""agents and tools: what is configured, what is learned, and what makes a killed run go on where it was.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. A table
with `tenant_id` gets forced row-level security in the same migration (`schema/migrations/security.py`).
"""

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import Vector
from sqlalchemy.dialects import postgresql

from schema.migrations import security

revision = "0003"
down_revision = "0002"

CONFIGURED = ("agents", "tools", "data_sources", "configurations", "pipelines")
OF_TENANTS = (
    *(*CONFIGURED, "pipeline_versions"),
    *("memories", "cached_answers", "feedback", "learned_examples", "tool_effects"),
)
THREADS = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")

# A tenant that was granted an agent or a tool of the platform may read its row.
GRANTED = """
CREATE FUNCTION is_granted(wanted_kind text, wanted text) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT 1 FROM grants g WHERE g.tenant_id = headrace_tenant() AND g.kind = wanted_kind
    AND (g.name = wanted OR (right(g.name, 1) = '*' AND starts_with(wanted, left(g.name, -1)))))
$$;
"""
SHARED = """
CREATE POLICY shared ON {table} FOR SELECT TO headrace_app
  USING (tenant_id = '00000000-0000-0000-0000-000000000000' AND is_granted('{kind}', name));
"""

# Whoever holds a configuration compares one text to know whether it is still so: no change can be missed, whatever dies when.
CONFIG_VERSION = """
CREATE FUNCTION config_version(wanted uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT string_agg(t.config_version::text, '.' ORDER BY t.id) FROM tenants t
  WHERE t.id IN (wanted, '00000000-0000-0000-0000-000000000000')
$$;
"""
CONFIG_CHANGED = """
CREATE FUNCTION config_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  UPDATE tenants SET config_version = config_version + 1 WHERE id = coalesce(NEW.tenant_id, OLD.tenant_id);
  RETURN NULL;
END $$;
"""
MODELS_CHANGED = """
CREATE FUNCTION models_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  UPDATE tenants SET config_version = config_version + 1 WHERE id = '00000000-0000-0000-0000-000000000000';
  RETURN NULL;
END $$;
"""

# As in 0002, and the agents that may be called, with the first model of each. A tenant's own hide the platform's of that name.
TENANT_FACTS = """
CREATE OR REPLACE FUNCTION tenant_facts(wanted uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object(
    'id', t.id, 'slug', t.slug, 'state', t.state, 'default_model', t.default_model,
    'requests_per_minute', t.requests_per_minute, 'tokens_per_minute', t.tokens_per_minute,
    'budget_day_nanos', t.budget_day_nanos, 'budget_month_nanos', t.budget_month_nanos,
    'budget_warn_percent', t.budget_warn_percent,
    'models', (SELECT coalesce(jsonb_agg(g.name ORDER BY g.name), '[]') FROM grants g
      WHERE g.tenant_id = wanted AND g.kind = 'model'),
    'services', (SELECT coalesce(jsonb_agg(c.service ORDER BY c.service), '[]') FROM credentials c
      WHERE c.tenant_id = wanted),
    'agents', (SELECT coalesce(jsonb_object_agg(a.name, a.models -> 0), '{}') FROM (
      SELECT DISTINCT ON (a.name) a.name, a.models, a.enabled FROM agents a
      WHERE a.tenant_id = wanted OR (a.tenant_id = '00000000-0000-0000-0000-000000000000' AND EXISTS (
        SELECT 1 FROM grants g WHERE g.tenant_id = wanted AND g.kind = 'agent'
          AND (g.name = a.name OR (right(g.name, 1) = '*' AND starts_with(a.name, left(g.name, -1))))))
      ORDER BY a.name, (a.tenant_id = wanted) DESC) a WHERE a.enabled))
  FROM tenants t WHERE t.id = wanted
$$;
"""

SEALED_WITH = """
CREATE OR REPLACE FUNCTION sealed_with() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT key_id FROM credentials UNION SELECT key_id FROM identity_providers WHERE key_id IS NOT NULL
  UNION SELECT key_id FROM job_secrets UNION SELECT key_id FROM signing_keys
  UNION SELECT key_id FROM tools WHERE key_id IS NOT NULL UNION SELECT key_id FROM data_sources
$$;
"""


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    op.create_table(
        "checkpoint_blobs",
        sa.Column("thread_id", sa.String(), nullable=False),
        sa.Column("checkpoint_ns", sa.String(), server_default=sa.text("''"), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("blob", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("thread_id", "checkpoint_ns", "channel", "version"),
    )
    op.create_index("checkpoint_blobs_thread_id_idx", "checkpoint_blobs", ["thread_id"], unique=False)
    op.create_table(
        "checkpoint_writes",
        sa.Column("thread_id", sa.String(), nullable=False),
        sa.Column("checkpoint_ns", sa.String(), server_default=sa.text("''"), nullable=False),
        sa.Column("checkpoint_id", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("idx", sa.Integer(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=True),
        sa.Column("blob", sa.LargeBinary(), nullable=False),
        sa.Column("task_path", sa.String(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("thread_id", "checkpoint_ns", "checkpoint_id", "task_id", "idx"),
    )
    op.create_index("checkpoint_writes_thread_id_idx", "checkpoint_writes", ["thread_id"], unique=False)
    op.create_table(
        "checkpoints",
        sa.Column("thread_id", sa.String(), nullable=False),
        sa.Column("checkpoint_ns", sa.String(), server_default=sa.text("''"), nullable=False),
        sa.Column("checkpoint_id", sa.String(), nullable=False),
        sa.Column("parent_checkpoint_id", sa.String(), nullable=True),
        sa.Column("type", sa.String(), nullable=True),
        sa.Column("checkpoint", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.PrimaryKeyConstraint("thread_id", "checkpoint_ns", "checkpoint_id"),
    )
    op.create_index("checkpoints_thread_id_idx", "checkpoints", ["thread_id"], unique=False)
    op.create_table(
        "agents",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("examples", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("prompt", sa.String(), nullable=False),
        sa.Column("models", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("graph", sa.String(), server_default=sa.text("'auto'"), nullable=False),
        sa.Column("tools", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("output_format", sa.String(), nullable=True),
        sa.Column("output_schema", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("renderer", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("max_steps", sa.Integer(), server_default=sa.text("5"), nullable=False),
        sa.Column("cache_s", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.String(), nullable=True),
        sa.CheckConstraint("graph IN ('auto', 'chat', 'react', 'plan_execute', 'supervisor')", name="agents_graph"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "name", name="agents_name"),
    )
    op.create_table(
        "cached_answers",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("config_version", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("question", sa.String(), nullable=False),
        sa.Column("embedder", sa.String(), nullable=False),
        sa.Column("embedding", Vector(), nullable=False),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index("cached_answers_exact", "cached_answers", ["tenant_id", "agent", "scope", "digest"], unique=False)
    op.create_index("cached_answers_expiry", "cached_answers", ["expires_at"], unique=False)
    op.create_index("cached_answers_message", "cached_answers", ["tenant_id", "message_id"], unique=False)
    op.create_table(
        "configurations",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("settings", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id"),
    )
    op.create_table(
        "data_sources",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), server_default=sa.text("''"), nullable=False),
        sa.Column("tables", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("max_rows", sa.Integer(), server_default=sa.text("200"), nullable=False),
        sa.Column("timeout_s", sa.Float(), server_default=sa.text("10"), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "name", name="data_sources_name"),
    )
    op.create_table(
        "pipelines",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), server_default=sa.text("''"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "name", name="pipelines_name"),
    )
    op.create_table(
        "tools",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("priority", sa.Integer(), server_default=sa.text("100"), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("key_id", sa.String(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.String(), nullable=True),
        sa.CheckConstraint("kind IN ('HTTP_GET', 'HTTP_POST', 'RAG', 'SQL', 'OCR', 'CUBE')", name="tools_kind"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "name", name="tools_name"),
    )
    op.create_table(
        "memories",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("embedder", sa.String(), nullable=False),
        sa.Column("embedding", Vector(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index("memories_of_user", "memories", ["tenant_id", "user_id"], unique=False)
    op.create_table(
        "pipeline_versions",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("pipeline_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "pipeline_id"], ["pipelines.tenant_id", "pipelines.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "pipeline_id", "version"),
    )
    op.create_table(
        "feedback",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("rating", sa.String(), nullable=False),
        sa.Column("comment", sa.String(), nullable=True),
        sa.Column("agent", sa.String(), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("rating IN ('up', 'down')", name="feedback_rating"),
        sa.ForeignKeyConstraint(["tenant_id", "message_id"], ["messages.tenant_id", "messages.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "message_id"),
    )
    op.create_index("feedback_of_user", "feedback", ["tenant_id", "user_id"], unique=False)
    op.create_table(
        "learned_examples",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("question", sa.String(), nullable=False),
        sa.Column("answer", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id", "message_id"], ["messages.tenant_id", "messages.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "message_id"),
    )
    op.create_table(
        "tool_effects",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("tool", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id", "job_id"], ["jobs.tenant_id", "jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "job_id", "call_id"),
    )
    op.add_column("messages", sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("models", sa.Column("context_tokens", sa.Integer(), nullable=True))
    op.add_column("models", sa.Column("tools", sa.Boolean(), nullable=True))
    op.add_column("models", sa.Column("images", sa.Boolean(), nullable=True))
    op.add_column("models", sa.Column("fallbacks", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("sessions", sa.Column("summary", sa.String(), nullable=True))
    op.add_column("sessions", sa.Column("summary_turn", sa.Integer(), nullable=True))
    op.add_column("tenants", sa.Column("config_version", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    for table in OF_TENANTS:
        op.execute(security.isolate(table))
        op.execute(security.open_to_owner(table))
    for table in THREADS:
        op.execute(security.isolate_threads(table))
        op.execute(security.open_to_owner(table))
    op.execute(GRANTED)
    op.execute(SHARED.format(table="agents", kind="agent"))
    op.execute(SHARED.format(table="tools", kind="tool"))
    op.execute(security.open_to_system("agents", rights="SELECT (tenant_id, name, models, enabled)"))
    op.execute(security.open_to_system("tools", rights="SELECT (key_id)"))
    op.execute(security.open_to_system("data_sources", rights="SELECT (key_id)"))
    op.execute(security.open_to_system("cached_answers", rights="SELECT (tenant_id, id, expires_at), DELETE"))
    op.execute("GRANT UPDATE (config_version) ON tenants TO headrace_system")
    op.execute(security.as_system(CONFIG_VERSION, "config_version(uuid)"))
    op.execute(security.as_system(CONFIG_CHANGED, "config_changed()"))
    op.execute(security.as_system(MODELS_CHANGED, "models_changed()"))
    for table in (*CONFIGURED, "grants", "learned_examples"):
        op.execute(
            f"CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION config_changed()"
        )
    op.execute(
        "CREATE TRIGGER models_changed AFTER INSERT OR UPDATE OR DELETE ON models "
        "FOR EACH STATEMENT EXECUTE FUNCTION models_changed()"
    )
    op.execute(TENANT_FACTS)
    op.execute(security.as_system(SEALED_WITH, "sealed_with()"))


def downgrade() -> None:
    raise NotImplementedError("what was configured and learned would be lost: restore a backup instead")

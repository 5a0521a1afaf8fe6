"""agent_versions: what each agent was after each of its last changes, whoever made them.

A trigger writes them, since agents are changed in several places: by their route, when a tool is deleted, by the demo. The agents
that are there get their first version here. A migration runs while the old version serves, which names nobody as who changed.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from schema.migrations import security

revision = "0039"
down_revision = "0038"

KEPT = 50

# The columns of CHANGEABLE in `schema/queries/agents/agents.py`. Types as json, so that the keys of schemas stay in their order.
AGENT_DEFINITION = """
CREATE FUNCTION agent_definition(a agents) RETURNS json LANGUAGE sql STABLE AS $$
  SELECT json_build_object('description', a.description, 'examples', a.examples, 'prompt', a.prompt, 'models', a.models,
    'graph', a.graph, 'tools', a.tools, 'output_format', a.output_format, 'output_schema', a.output_schema,
    'renderer', a.renderer, 'max_steps', a.max_steps, 'cache_s', a.cache_s, 'enabled', a.enabled)
$$;
"""
KEEP_VERSION = f"""
CREATE FUNCTION keep_agent_version() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE last integer;
BEGIN
  IF TG_OP = 'UPDATE' AND agent_definition(OLD)::text = agent_definition(NEW)::text THEN
    RETURN NULL;
  END IF;
  SELECT coalesce(max(version), 0) INTO last FROM agent_versions WHERE tenant_id = NEW.tenant_id AND agent_id = NEW.id;
  INSERT INTO agent_versions (tenant_id, agent_id, version, definition, created_by)
  VALUES (NEW.tenant_id, NEW.id, last + 1, agent_definition(NEW), nullif(current_setting('headrace.actor', true), ''));
  DELETE FROM agent_versions WHERE tenant_id = NEW.tenant_id AND agent_id = NEW.id AND version <= last + 1 - {KEPT};
  RETURN NULL;
END $$;
"""
TRIGGER = """
CREATE TRIGGER keep_version AFTER INSERT OR UPDATE ON agents FOR EACH ROW EXECUTE FUNCTION keep_agent_version()
"""
FIRST_VERSIONS = """
INSERT INTO agent_versions (tenant_id, agent_id, version, definition, created_at, created_by)
SELECT a.tenant_id, a.id, 1, agent_definition(a), a.updated_at, a.created_by FROM agents a
"""


def upgrade() -> None:
    op.create_table(
        "agent_versions",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("agent_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", postgresql.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id", "agent_id"], ["agents.tenant_id", "agents.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "agent_id", "version"),
    )
    op.execute(security.isolate("agent_versions"))
    op.execute(security.open_to_owner("agent_versions"))
    op.execute(AGENT_DEFINITION)
    op.execute(FIRST_VERSIONS)
    op.execute(KEEP_VERSION)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute("DROP TRIGGER keep_version ON agents")
    op.execute("DROP FUNCTION keep_agent_version()")
    op.execute("DROP FUNCTION agent_definition(agents)")
    op.drop_table("agent_versions")

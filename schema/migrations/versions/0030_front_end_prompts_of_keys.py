"""api_keys.front_end_prompts: who answers the prompts that a chat front end sends of its own, where a key says so.

A migration runs while the old version serves: that one goes on with find_caller_key(text), which goes a release later.
"""

import sqlalchemy as sa
from alembic import op

from schema.identity.budgets import budget_json
from schema.migrations import security

revision = "0030"
down_revision = "0029"

COLUMN = "front_end_prompts"

# As find_caller_key of 0022, and the column.
FIND_PRESENTED_KEY = f"""
CREATE FUNCTION find_presented_key(wanted text)
RETURNS TABLE (tenant_id uuid, id uuid, digest text, role text, scopes jsonb, expires_at timestamptz,
  revoked_at timestamptz, user_id uuid, user_role text, user_state text, facts jsonb, budgets jsonb,
  {COLUMN} text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT k.tenant_id, k.id, k.digest, k.role, k.scopes, k.expires_at, k.revoked_at, k.user_id, u.role, u.state,
    tenant_facts(k.tenant_id), jsonb_build_array({budget_json("key", "k")}, {budget_json("user", "u")}), k.{COLUMN}
  FROM api_keys k LEFT JOIN users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
  WHERE k.find = wanted
$$;
"""


def upgrade() -> None:
    op.add_column("api_keys", sa.Column(COLUMN, sa.String(), nullable=True))
    op.execute(f"GRANT SELECT ({COLUMN}) ON api_keys TO headrace_system")
    op.execute(security.as_system(FIND_PRESENTED_KEY, "find_presented_key(text)"))


def downgrade() -> None:
    op.execute("DROP FUNCTION find_presented_key(text)")
    op.drop_column("api_keys", COLUMN)

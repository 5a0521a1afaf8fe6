"""api_keys, users: budgets of their own. usage_records.key_id: the key that a call was made with.

A migration runs while the old version serves: that one goes on with find_key(text), which goes a release later. What it books
meanwhile has no key.
"""

import sqlalchemy as sa
from alembic import op

from schema.identity.budgets import budget_json
from schema.migrations import security

revision = "0022"
down_revision = "0021"

MONEY, TOKENS = ("budget_day_nanos", "budget_month_nanos"), "tokens_per_day"

# As find_key of 0002, and the budgets of the key and its user.
FIND_CALLER_KEY = f"""
CREATE FUNCTION find_caller_key(wanted text)
RETURNS TABLE (tenant_id uuid, id uuid, digest text, role text, scopes jsonb, expires_at timestamptz,
  revoked_at timestamptz, user_id uuid, user_role text, user_state text, facts jsonb, budgets jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT k.tenant_id, k.id, k.digest, k.role, k.scopes, k.expires_at, k.revoked_at, k.user_id, u.role, u.state,
    tenant_facts(k.tenant_id), jsonb_build_array({budget_json("key", "k")}, {budget_json("user", "u")})
  FROM api_keys k LEFT JOIN users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
  WHERE k.find = wanted
$$;
"""


def upgrade() -> None:
    for table in ("api_keys", "users"):
        for name in MONEY:
            op.add_column(table, sa.Column(name, sa.BigInteger(), nullable=True))
        op.add_column(table, sa.Column(TOKENS, sa.BigInteger(), nullable=True))
        op.execute(f"GRANT SELECT ({', '.join((*MONEY, TOKENS))}) ON {table} TO headrace_system")
    op.add_column("usage_records", sa.Column("key_id", sa.Uuid(), nullable=True))
    op.execute("GRANT UPDATE (key_id) ON usage_records TO headrace_app")  # an erasure makes it nobody's
    op.execute(security.as_system(FIND_CALLER_KEY, "find_caller_key(text)"))


def downgrade() -> None:
    op.execute("DROP FUNCTION find_caller_key(text)")
    op.drop_column("usage_records", "key_id")
    for table in ("api_keys", "users"):
        for name in (*MONEY, TOKENS):
            op.drop_column(table, name)

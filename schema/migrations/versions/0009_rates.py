"""tenants.reads_per_minute and searches_per_minute: rates of what is no job. Their defaults are for no honest tenant to notice.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. A table
with `tenant_id` gets forced row-level security in the same migration (`schema/migrations/security.py`).
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

# As in 0003, and the two rates.
TENANT_FACTS = """
CREATE OR REPLACE FUNCTION tenant_facts(wanted uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object(
    'id', t.id, 'slug', t.slug, 'state', t.state, 'default_model', t.default_model,
    'requests_per_minute', t.requests_per_minute, 'tokens_per_minute', t.tokens_per_minute,
    'reads_per_minute', t.reads_per_minute, 'searches_per_minute', t.searches_per_minute,
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
RATES = "    'reads_per_minute', t.reads_per_minute, 'searches_per_minute', t.searches_per_minute,\n"


def upgrade() -> None:
    op.add_column(
        "tenants", sa.Column("reads_per_minute", sa.Integer(), server_default=sa.text("30000"), nullable=True)
    )
    op.add_column(
        "tenants", sa.Column("searches_per_minute", sa.Integer(), server_default=sa.text("3000"), nullable=True)
    )
    op.execute(TENANT_FACTS)


def downgrade() -> None:
    op.execute(TENANT_FACTS.replace(RATES, ""))
    op.drop_column("tenants", "searches_per_minute")
    op.drop_column("tenants", "reads_per_minute")

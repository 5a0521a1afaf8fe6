"""add_figures: what processes counted, routes, tool calls and looks into the cache, joins the counts by minute and hour.

A migration runs while the old version serves: it counts nothing of the kind.
"""

from alembic import op

from schema.migrations import security

revision = "0034"
down_revision = "0033"

SIGNATURE = "add_figures(jsonb)"

# Rows are changed in one order, so that two processes can't wait for each other. All of them are counted for the platform, too.
ADD_FIGURES = """
CREATE FUNCTION add_figures(figures jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  WITH told AS (
    SELECT * FROM jsonb_to_recordset(figures) AS f (tenant_id uuid, kind text, measure text, bucket integer, n bigint)),
  of_whom AS (
    SELECT * FROM told
    UNION ALL
    SELECT '00000000-0000-0000-0000-000000000000'::uuid, kind, measure, bucket, n FROM told
    WHERE tenant_id <> '00000000-0000-0000-0000-000000000000'::uuid)
  INSERT INTO performance_counts AS p (tenant_id, grain, at, kind, measure, bucket, n)
  SELECT tenant_id, grain, date_trunc(grain, now(), 'UTC'), kind, measure, bucket, sum(n)
  FROM of_whom, unnest(ARRAY['minute', 'hour']) AS grain GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
  ON CONFLICT (tenant_id, grain, at, kind, measure, bucket) DO UPDATE SET n = p.n + excluded.n
$$;
"""


def upgrade() -> None:
    op.execute(security.as_system(ADD_FIGURES, SIGNATURE))


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {SIGNATURE}")

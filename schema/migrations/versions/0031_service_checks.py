"""service_checks: what the watchdog found, minute by minute; service_parts knows latencies and figures; deeds are audited.

A migration runs while the old version serves: its scheduler goes on to say whether a part is up or down.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0031"
down_revision = "0030"

AUDITED = "tenant_id, id, actor, action, target, result, address, request_id, detail"

# It runs as the owner, who sees when others' transactions began; what they say is shown to nobody.
FIGURES = """
CREATE FUNCTION postgres_figures() RETURNS TABLE (
  connections int, most_connections int, longest_transaction_s float8, oldest_xid_age int, retained_wal_bytes bigint,
  inactive_slots int)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend'),
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
    (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 FROM pg_stat_activity
      WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
    (SELECT max(age(datfrozenxid)) FROM pg_database),
    (SELECT coalesce(max(pg_wal_lsn_diff(
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn)), 0)::bigint
      FROM pg_replication_slots),
    (SELECT count(*)::int FROM pg_replication_slots WHERE NOT active)
$$;
"""


def upgrade() -> None:
    op.create_table(
        "service_checks",
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("checks", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("latency_ms", sa.Float(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("part", "at"),
    )
    op.create_index("service_checks_age", "service_checks", ["at"])
    op.execute("GRANT SELECT, INSERT, DELETE ON service_checks TO headrace_system")
    op.execute("GRANT SELECT ON service_checks TO headrace_app")
    op.add_column("service_parts", sa.Column("latency_ms", sa.Float(), nullable=True))
    op.add_column("service_parts", sa.Column("detail", postgresql.JSONB(), nullable=True))
    op.execute(f"GRANT INSERT ({AUDITED}) ON audit_log TO headrace_system")
    op.execute("GRANT SELECT (failing_since) ON webhook_endpoints TO headrace_system")
    op.execute(FIGURES)
    op.execute("REVOKE ALL ON FUNCTION postgres_figures() FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION postgres_figures() TO headrace_system")


def downgrade() -> None:
    op.execute("DROP FUNCTION postgres_figures()")
    op.execute("REVOKE SELECT (failing_since) ON webhook_endpoints FROM headrace_system")
    op.execute(f"REVOKE INSERT ({AUDITED}) ON audit_log FROM headrace_system")
    op.drop_column("service_parts", "detail")
    op.drop_column("service_parts", "latency_ms")
    op.drop_table("service_checks")

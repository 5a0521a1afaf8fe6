"""tallies: what a tenant's figures count is counted once, and stays right whatever is deleted or ends late; and usage rows that
are not merged yet are found without reading the others.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. A table
with `tenant_id` gets forced row-level security in the same migration (`schema/migrations/security.py`).
"""

import sqlalchemy as sa
from alembic import op

from schema.migrations import security

revision = "0010"
down_revision = "0009"

# Rows with an id below `counted_before` are counted in `tallies`, others when somebody asks. Whoever changes what may have been
# counted takes the tenant's lock together with others, until the commit; counting takes it alone. So a row is either counted
# before the change, and the change is added, or after it.
TALLY = """
CREATE FUNCTION tally(tenant uuid, row_id uuid, counted text, at timestamptz, change bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(1213355097, hashtext(tenant::text));
  INSERT INTO tallies (tenant_id, what, minute, n) SELECT tenant, counted, at, change FROM tally_marks m
  WHERE m.tenant_id = tenant AND row_id < m.counted_before;
END $$;
"""

ENDED = "('succeeded', 'failed', 'cancelled')"
# Counting stays some minutes behind, so what happens to younger rows can't have been counted (`schema/queries/tenants/tallies.py`).
IS_OLD = "coalesce(uuid_extract_timestamp(NEW.id) < now() - interval '1 minute', true)"

OF_JOBS = f"""
CREATE FUNCTION tally_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.state IN {ENDED} THEN
    PERFORM tally(OLD.tenant_id, OLD.id, OLD.state, date_trunc('minute', OLD.created_at), -1);
  END IF;
  IF NEW.state IN {ENDED} THEN
    PERFORM tally(NEW.tenant_id, NEW.id, NEW.state, date_trunc('minute', NEW.created_at), 1);
  END IF;
  RETURN NULL;
END $$;
CREATE FUNCTION tally_deleted_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(1213355097, hashtext(g.tenant_id::text)) FROM (SELECT DISTINCT tenant_id FROM gone) g;
  INSERT INTO tallies (tenant_id, what, minute, n)
  SELECT g.tenant_id, g.state, date_trunc('minute', g.created_at), -count(*) FROM gone g JOIN tally_marks m ON m.tenant_id = g.tenant_id
  WHERE g.id < m.counted_before AND g.state IN {ENDED} GROUP BY 1, 2, 3;
  RETURN NULL;
END $$;
CREATE TRIGGER tally_added AFTER INSERT ON jobs FOR EACH ROW WHEN (NEW.state IN {ENDED}) EXECUTE FUNCTION tally_job();
CREATE TRIGGER tally_changed AFTER UPDATE OF state ON jobs FOR EACH ROW
  WHEN (OLD.state <> NEW.state AND (OLD.state IN {ENDED} OR NEW.state IN {ENDED} AND {IS_OLD})) EXECUTE FUNCTION tally_job();
CREATE TRIGGER tally_deleted AFTER DELETE ON jobs REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION tally_deleted_jobs();
"""


def tally_rows(table: str) -> str:
    """Return the SQL that keeps the tally of all rows of `table`."""
    return f"""
CREATE FUNCTION tally_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM tally(NEW.tenant_id, NEW.id, '{table}', '-infinity', 1);
  RETURN NULL;
END $$;
CREATE FUNCTION tally_deleted_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(1213355097, hashtext(g.tenant_id::text)) FROM (SELECT DISTINCT tenant_id FROM gone) g;
  INSERT INTO tallies (tenant_id, what, minute, n)
  SELECT g.tenant_id, '{table}', '-infinity', -count(*) FROM gone g JOIN tally_marks m ON m.tenant_id = g.tenant_id
  WHERE g.id < m.counted_before GROUP BY 1;
  RETURN NULL;
END $$;
CREATE TRIGGER tally_added AFTER INSERT ON {table} FOR EACH ROW WHEN ({IS_OLD}) EXECUTE FUNCTION tally_{table}();
CREATE TRIGGER tally_deleted AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION tally_deleted_{table}();
"""


COUNTED_ROWS = ("sessions", "messages")
TABLES = ("tallies", "tally_marks", "usage_days")
USED = ("jobs", "input_tokens", "output_tokens", "cost_nanos", "own_key_input_tokens", "own_key_output_tokens")


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_table(
        "tally_marks",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("counted_before", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id"),
    )
    op.create_table(
        "usage_days",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in USED),
        sa.PrimaryKeyConstraint("tenant_id", "day"),
    )
    for table in ("tallies", "tally_marks"):
        op.execute(security.isolate(table))
    op.execute(security.isolate("usage_days", rights="SELECT"))
    for table in TABLES:
        op.execute(security.open_to_owner(table))
    op.execute(security.open_to_system("tallies", rights="SELECT, DELETE"))
    op.execute(security.open_to_system("tally_marks", rights="SELECT"))
    op.execute(security.open_to_system("usage_days", rights="SELECT, INSERT, UPDATE, DELETE"))
    op.execute(TALLY)
    op.execute(OF_JOBS)
    for table in COUNTED_ROWS:
        op.execute(tally_rows(table))
    op.add_column("usage_records", sa.Column("merged", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_index(
        "usage_records_loose", "usage_records", ["tenant_id", "day"], postgresql_where=sa.text("NOT merged")
    )


def downgrade() -> None:
    op.drop_index("usage_records_loose", "usage_records")
    op.drop_column("usage_records", "merged")
    for table in ("jobs", *COUNTED_ROWS):
        op.execute(f"DROP TRIGGER tally_added ON {table}; DROP TRIGGER tally_deleted ON {table}")
    op.execute("DROP TRIGGER tally_changed ON jobs")
    op.execute("DROP FUNCTION tally_job(), tally_deleted_jobs()")
    for table in COUNTED_ROWS:
        op.execute(f"DROP FUNCTION tally_{table}(), tally_deleted_{table}()")
    op.execute("DROP FUNCTION tally(uuid, uuid, text, timestamptz, bigint)")
    for table in reversed(TABLES):
        op.drop_table(table)

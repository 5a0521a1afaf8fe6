"""Lists that stay fast, with an index for each way in which jobs, sessions and the audit log are listed; and tables that don't bloat.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. A table
with `tenant_id` gets forced row-level security in the same migration (`schema/migrations/security.py`).
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

# Rows of these are updated or deleted soon after they came: vacuum them by what changed, not by a share of what there is.
CHECKPOINTS = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
BUSY_TABLES = ("jobs", "attempts", "job_secrets", "tool_effects", *CHECKPOINTS)
VACUUM_OFTEN = (
    "autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, "
    "autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0"
)

AUDIT_FILTERS = ("actor", "action", "target", "result")


def upgrade() -> None:
    op.create_index("jobs_listed", "jobs", ["tenant_id", "kind", "state", "id"])
    op.create_index(
        "jobs_of_user",
        "jobs",
        ["tenant_id", "user_id", "kind", "state", "id"],
        postgresql_where=sa.text("user_id IS NOT NULL"),
    )
    op.drop_index("jobs_failed", "jobs")
    # With the lease in no index, and room in the page, renewing it writes the row alone. `jobs_in_flight` finds running jobs.
    op.drop_index("jobs_leases", "jobs")
    op.execute("ALTER TABLE jobs SET (fillfactor = 70)")
    for table in BUSY_TABLES:
        op.execute(f"ALTER TABLE {table} SET ({VACUUM_OFTEN})")
    op.drop_index("sessions_recent", "sessions")
    op.create_index("sessions_recent", "sessions", ["tenant_id", "updated_at", "id"])
    op.create_index(
        "sessions_of_user",
        "sessions",
        ["tenant_id", "user_id", "updated_at", "id"],
        postgresql_where=sa.text("user_id IS NOT NULL"),
    )
    op.drop_index("audit_log_at", "audit_log")
    op.create_index("audit_log_at", "audit_log", ["tenant_id", "at", "id"])
    for column in AUDIT_FILTERS:
        op.create_index(f"audit_log_{column}", "audit_log", ["tenant_id", column, "at", "id"])


def downgrade() -> None:
    for column in AUDIT_FILTERS:
        op.drop_index(f"audit_log_{column}", "audit_log")
    op.drop_index("audit_log_at", "audit_log")
    op.create_index("audit_log_at", "audit_log", ["tenant_id", "at"])
    op.drop_index("sessions_of_user", "sessions")
    op.drop_index("sessions_recent", "sessions")
    op.create_index("sessions_recent", "sessions", ["tenant_id", sa.text("updated_at DESC"), sa.text("id DESC")])
    for table in BUSY_TABLES:
        op.execute(
            f"ALTER TABLE {table} RESET ({', '.join(option.split(' = ')[0] for option in VACUUM_OFTEN.split(', '))})"
        )
    op.execute("ALTER TABLE jobs RESET (fillfactor)")
    op.create_index("jobs_leases", "jobs", ["lease_until"], postgresql_where=sa.text("state = 'running'"))
    op.create_index("jobs_failed", "jobs", ["tenant_id", "id"], postgresql_where=sa.text("state = 'failed'"))
    op.drop_index("jobs_of_user", "jobs")
    op.drop_index("jobs_listed", "jobs")

"""suspects: jobs that were lost with their worker, and may be what killed it.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. A table
with `tenant_id` gets forced row-level security in the same migration (`schema/migrations/security.py`).
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

ADDED = "losses, suspect, probation_s"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("losses", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("jobs", sa.Column("suspect", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("jobs", sa.Column("probation_s", sa.Float(), nullable=True))
    op.create_index(
        "jobs_suspects",
        "jobs",
        ["queue", "state"],
        postgresql_where=sa.text("suspect AND state IN ('queued', 'dispatched', 'running')"),
    )
    op.execute(f"GRANT SELECT ({ADDED}), UPDATE ({ADDED}) ON jobs TO headrace_system")


def downgrade() -> None:
    op.drop_index("jobs_suspects", table_name="jobs")
    for column in ADDED.split(", "):
        op.drop_column("jobs", column)

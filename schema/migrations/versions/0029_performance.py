"""job_samples, performance_counts: how long jobs waited and ran, and what they used, by minute and hour.

A migration runs while the old version serves: jobs that it ends leave no sample.
"""

import sqlalchemy as sa
from alembic import op

from schema.migrations import security

revision = "0029"
down_revision = "0028"

TABLES = ("job_samples", "performance_counts")


def upgrade() -> None:
    op.create_table(
        "job_samples",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("wait_s", sa.Float(), nullable=True),
        sa.Column("run_s", sa.Float(), nullable=True),
        sa.Column("first_token_s", sa.Float(), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_nanos", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_table(
        "performance_counts",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("grain", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("measure", sa.String(), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "grain", "at", "kind", "measure", "bucket"),
    )
    op.create_index("performance_counts_age", "performance_counts", ["grain", "at"])
    op.execute(security.isolate("job_samples", rights="INSERT"))
    op.execute(security.isolate("performance_counts", rights="SELECT"))
    for table in TABLES:
        op.execute(security.open_to_owner(table))
    # A row that is locked by SELECT … FOR UPDATE needs the right to update, too.
    op.execute(security.open_to_system("job_samples", rights="SELECT, UPDATE, DELETE"))
    op.execute(security.open_to_system("performance_counts", rights="SELECT, INSERT, UPDATE, DELETE"))


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)

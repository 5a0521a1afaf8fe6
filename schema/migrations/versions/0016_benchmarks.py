"""benchmarks: what is measured, each measurement, and what they add up to.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. A table
with `tenant_id` gets forced row-level security in the same migration (`schema/migrations/security.py`).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from schema.migrations import security

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_table(
        "benchmarks",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("models", postgresql.JSONB(), nullable=False),
        sa.Column("settings", postgresql.JSONB(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id", "id"], ["jobs.tenant_id", "jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_table(
        "benchmark_iterations",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("benchmark_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("prompt", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_token_ms", sa.Float(), nullable=True),
        sa.Column("tokens_per_second", sa.Float(), nullable=True),
        sa.Column("total_ms", sa.Float(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("estimated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("cost_nanos", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", postgresql.JSONB(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "benchmark_id"], ["benchmarks.tenant_id", "benchmarks.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "benchmark_id", "place"),
    )
    op.create_table(
        "benchmark_results",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("benchmark_id", sa.Uuid(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("figures", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "benchmark_id"], ["benchmarks.tenant_id", "benchmarks.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "benchmark_id", "model"),
    )
    op.create_index("benchmark_results_of_model", "benchmark_results", ["tenant_id", "model", "benchmark_id"])
    for table in ("benchmarks", "benchmark_iterations", "benchmark_results"):
        op.execute(security.isolate(table))
        op.execute(security.open_to_owner(table))
    op.execute(security.confine_to_user("benchmarks"))


def downgrade() -> None:
    for table in ("benchmark_results", "benchmark_iterations", "benchmarks"):
        op.drop_table(table)

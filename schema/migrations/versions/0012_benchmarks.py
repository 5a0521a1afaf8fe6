"""benchmarks: what is measured, each measurement, and what they add up to; datasets, by which answers are judged.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. A table
with `tenant_id` gets forced row-level security in the same migration (`schema/migrations/security.py`).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from schema.migrations import security

revision = "0012"
down_revision = "0011"

TABLES = (
    *("benchmarks", "benchmark_iterations", "benchmark_results"),
    *("datasets", "dataset_items", "benchmark_items"),
)


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
    op.create_table(
        "datasets",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "name", name="datasets_name"),
    )
    op.create_table(
        "dataset_items",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("item", postgresql.JSONB(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id", "dataset_id"], ["datasets.tenant_id", "datasets.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id", "message_id"], ["messages.tenant_id", "messages.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "dataset_id", "version", "place"),
    )
    from_feedback = sa.text("message_id IS NOT NULL")
    op.create_index(
        "dataset_items_message", "dataset_items", ["tenant_id", "message_id"], postgresql_where=from_feedback
    )
    op.create_table(
        "benchmark_items",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("benchmark_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("question", sa.String(), nullable=False),
        sa.Column("correct", sa.Boolean(), nullable=True),
        sa.Column("outcome", postgresql.JSONB(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "benchmark_id"], ["benchmarks.tenant_id", "benchmarks.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "benchmark_id", "place"),
    )
    for table in TABLES:
        op.execute(security.isolate(table))
        op.execute(security.open_to_owner(table))
    op.execute(security.confine_to_user("benchmarks"))


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)

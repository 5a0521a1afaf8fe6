"""batches: requests that clients upload as one file, and the lines of it.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. A table
with `tenant_id` gets forced row-level security in the same migration (`schema/migrations/security.py`).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from schema.migrations import security

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("rights", postgresql.JSONB(), nullable=False),
        sa.Column("input_file_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint", sa.String(), nullable=False),
        sa.Column("output_ttl_s", sa.Integer(), nullable=True),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("completed", sa.Integer(), nullable=True),
        sa.Column("failed", sa.Integer(), nullable=True),
        sa.Column("usage", postgresql.JSONB(), nullable=True),
        sa.Column("errors", postgresql.JSONB(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelling_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finalizing_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("output_file_id", sa.Uuid(), nullable=True),
        sa.Column("error_file_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id", "id"], ["jobs.tenant_id", "jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index("batches_open", "batches", ["tenant_id", "id"], postgresql_where=sa.text("ended_at IS NULL"))
    op.create_table(
        "batch_lines",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("custom_id", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("try_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("answer", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id", "batch_id"], ["batches.tenant_id", "batches.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "batch_id", "place"),
    )
    open_lines = sa.text("status_code IS NULL")
    op.create_index("batch_lines_open", "batch_lines", ["tenant_id", "batch_id", "place"], postgresql_where=open_lines)
    for table in ("batches", "batch_lines"):
        op.execute(security.isolate(table))
        op.execute(security.open_to_owner(table))
    op.execute(security.confine_to_user("batches"))
    op.execute(security.open_to_system("batches", rights="SELECT (tenant_id, id, ended_at)"))


def downgrade() -> None:
    for table in ("batch_lines", "batches"):
        op.drop_table(table)

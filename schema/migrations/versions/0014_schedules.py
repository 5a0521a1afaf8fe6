"""schedules: jobs that start by themselves, and what became of each due time.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. A table
with `tenant_id` gets forced row-level security in the same migration (`schema/migrations/security.py`).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from schema.migrations import security

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.create_table(
        "schedules",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("job", postgresql.JSONB(), nullable=False),
        sa.Column("compiled", postgresql.JSONB(), nullable=False),
        sa.Column("cron", sa.String(), nullable=False),
        sa.Column("timezone", sa.String(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("on_missed", sa.String(), nullable=False),
        sa.Column("on_overlap", sa.String(), nullable=False),
        sa.Column("session", sa.String(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", postgresql.JSONB(), nullable=True),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('active', 'paused', 'ended')", name="schedules_state"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index("schedules_due", "schedules", ["next_at"], postgresql_where=sa.text("state = 'active'"))
    op.create_table(
        "schedule_runs",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("schedule_id", sa.Uuid(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("manual", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("missed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason", postgresql.JSONB(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "schedule_id"], ["schedules.tenant_id", "schedules.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "schedule_id", "due_at"),
    )
    waiting = sa.text("outcome = 'waiting'")
    op.create_index("schedule_runs_waiting", "schedule_runs", ["tenant_id", "schedule_id"], postgresql_where=waiting)
    op.create_index("schedule_runs_age", "schedule_runs", ["due_at"])
    for table in ("schedules", "schedule_runs"):
        op.execute(security.isolate(table))
        op.execute(security.open_to_owner(table))
    op.execute(security.confine_to_user("schedules"))
    op.execute(security.open_to_system("schedules", rights="SELECT (tenant_id, id, state, next_at)"))
    op.execute(
        security.open_to_system("schedule_runs", rights="SELECT (tenant_id, schedule_id, due_at, outcome), DELETE")
    )


def downgrade() -> None:
    for table in ("schedule_runs", "schedules"):
        op.drop_table(table)

"""sessions.pinned_at, sessions.shared_at: conversations that stay on top, and those that others of the tenant may read."""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("pinned_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("sessions", sa.Column("shared_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "sessions_pinned",
        "sessions",
        ["tenant_id", "updated_at", "id"],
        postgresql_where=sa.text(
            "pinned_at IS NOT NULL"
        ),  # none at first: built at once, however many sessions there are
    )


def downgrade() -> None:
    op.drop_index("sessions_pinned", table_name="sessions")
    op.drop_column("sessions", "shared_at")
    op.drop_column("sessions", "pinned_at")

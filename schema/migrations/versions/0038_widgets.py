"""api_keys.widget: keys of chat widgets, which are public. sessions.widget_id, visit_digest: conversations of their visitors.

A migration runs while the old version serves: that one finds no key by a widget's public half, and lists visitors'
conversations among the others.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("widget", postgresql.JSONB(), nullable=True))
    op.add_column("sessions", sa.Column("widget_id", sa.Uuid(), nullable=True))
    op.add_column("sessions", sa.Column("visit_digest", sa.String(), nullable=True))
    op.create_index(
        "sessions_of_widget",
        "sessions",
        ["tenant_id", "widget_id", "updated_at", "id"],
        postgresql_where=sa.text(
            "widget_id IS NOT NULL"
        ),  # none at first: built at once, however many sessions there are
    )


def downgrade() -> None:
    op.drop_index("sessions_of_widget", table_name="sessions")
    op.drop_column("sessions", "visit_digest")
    op.drop_column("sessions", "widget_id")
    op.execute("DELETE FROM api_keys WHERE widget IS NOT NULL")
    op.drop_column("api_keys", "widget")

"""jobs have the traceparent of the span that submitted them: attempts and webhooks are traced as a part of that.

A migration runs while the old version serves: it writes none.
"""

from alembic import op

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    op.execute("ALTER TABLE jobs ADD COLUMN traceparent varchar")


def downgrade() -> None:
    op.execute("ALTER TABLE jobs DROP COLUMN traceparent")

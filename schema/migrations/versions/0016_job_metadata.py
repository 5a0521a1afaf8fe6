"""jobs have metadata: pairs of the submitter's own, that come back in lists and webhooks.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later.
"""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.execute("ALTER TABLE jobs ADD COLUMN metadata jsonb")


def downgrade() -> None:
    op.execute("ALTER TABLE jobs DROP COLUMN metadata")

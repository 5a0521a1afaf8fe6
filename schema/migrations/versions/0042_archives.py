"""tenants.archive_days: how long sessions that leave the database are kept as files; NULL keeps none.

A migration runs while the old version serves: that one deletes what it always deleted.
"""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"


def upgrade() -> None:
    op.add_column("tenants", sa.Column("archive_days", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("tenants", "archive_days")

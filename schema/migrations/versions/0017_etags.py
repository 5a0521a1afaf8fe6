"""documents.source_etag: what the server called the content that was fetched, so that it need not be fetched again."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("documents", sa.Column("source_etag", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("documents", "source_etag")

"""service_parts: when the last error was seen, and since when a part works whose return is not told yet."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    op.add_column("service_parts", sa.Column("error_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("service_parts", sa.Column("works_since", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("service_parts", "works_since")
    op.drop_column("service_parts", "error_at")

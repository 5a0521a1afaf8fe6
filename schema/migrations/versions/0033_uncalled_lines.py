"""batches.uncalled: of the requests that failed, how many were never called, which Anthropic's API tells apart."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    op.add_column("batches", sa.Column("uncalled", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("batches", "uncalled")

"""models: prices of calls with long prompts, and of what a provider's cache keeps for an hour.

A migration runs while the old version serves: that one reads and writes the other columns alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"

PRICES = (
    *("cache_write_1h_usd", "dearer_input_usd", "dearer_output_usd", "dearer_cached_input_usd"),
    *("dearer_cache_write_usd", "dearer_cache_write_1h_usd"),
)


def upgrade() -> None:
    for name in PRICES:
        op.add_column("models", sa.Column(name, sa.Numeric(precision=14, scale=6), nullable=True))
    # The seeds are written once for each source; these have more prices than those that are there.
    op.execute("UPDATE models SET source = source || ', before 0026' WHERE source IS NOT NULL")


def downgrade() -> None:
    for name in PRICES:
        op.drop_column("models", name)

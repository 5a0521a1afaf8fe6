"""an agent's schema that a grant overrides keeps the order of its keys, as the agent's own does (0015).

A migration runs while the old version serves: it writes `jsonb` into this column, and Postgres turns it into text.
"""

from alembic import op

revision = "0041"
down_revision = "0040"


def upgrade() -> None:
    op.execute("ALTER TABLE grants ALTER COLUMN overrides TYPE json USING overrides::json")


def downgrade() -> None:
    op.execute("ALTER TABLE grants ALTER COLUMN overrides TYPE jsonb USING overrides::jsonb")

"""models: prices of cached, cache-written and thought tokens, limits and capabilities; rows that are seeds. models_version().

A migration runs while the old version serves: that one writes both prices of each row, and asks for no other.
"""

import sqlalchemy as sa
from alembic import op

from schema.migrations import security

revision = "0021"
down_revision = "0020"

PRICES = ("cached_input_usd", "cache_write_usd", "reasoning_usd")
LIMITS = ("dearer_above_tokens", "max_output_tokens")
FLAGS = ("structured_output", "reasoning", "temperature")
ADDED = (*PRICES, *LIMITS, *FLAGS, "kind", "deprecated", "retires_on", "source")

# Whoever holds the models compares one text to know whether they are still so. The platform's version changes with each of them.
MODELS_VERSION = """
CREATE FUNCTION models_version() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT t.config_version::text FROM tenants t WHERE t.id = '00000000-0000-0000-0000-000000000000'
$$;
"""


def upgrade() -> None:
    for name in PRICES:
        op.add_column("models", sa.Column(name, sa.Numeric(precision=14, scale=6), nullable=True))
    for name in LIMITS:
        op.add_column("models", sa.Column(name, sa.Integer(), nullable=True))
    for name in FLAGS:
        op.add_column("models", sa.Column(name, sa.Boolean(), nullable=True))
    op.add_column("models", sa.Column("kind", sa.String(), nullable=True))
    op.add_column("models", sa.Column("deprecated", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("models", sa.Column("retires_on", sa.Date(), nullable=True))
    op.add_column("models", sa.Column("source", sa.String(), nullable=True))
    op.alter_column("models", "input_usd", nullable=True)
    op.alter_column("models", "output_usd", nullable=True)
    op.create_check_constraint("models_kind", "models", "kind IN ('chat', 'embedding')")
    op.execute(security.as_system(MODELS_VERSION, "models_version()"))


def downgrade() -> None:
    op.execute("DROP FUNCTION models_version()")
    op.execute("DELETE FROM models WHERE source IS NOT NULL OR input_usd IS NULL OR output_usd IS NULL")
    op.drop_constraint("models_kind", "models")
    op.alter_column("models", "input_usd", nullable=False)
    op.alter_column("models", "output_usd", nullable=False)
    for name in ADDED:
        op.drop_column("models", name)

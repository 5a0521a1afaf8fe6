"""own_key_usage: what tenants use with provider keys of their own is counted apart, and no usage is negative.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. A table
with `tenant_id` gets forced row-level security in the same migration (`schema/migrations/security.py`).
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

# What a vendor misreported before must not stop the migration. The owner sees all tenants' rows only without FORCE.
NOT_NEGATIVE = """
ALTER TABLE usage_records NO FORCE ROW LEVEL SECURITY;
UPDATE usage_records SET input_tokens = greatest(input_tokens, 0), output_tokens = greatest(output_tokens, 0),
  cost_nanos = greatest(cost_nanos, 0) WHERE least(input_tokens, output_tokens, cost_nanos) < 0;
ALTER TABLE usage_records FORCE ROW LEVEL SECURITY;
ALTER TABLE usage_records ADD CONSTRAINT usage_records_not_negative CHECK (input_tokens >= 0 AND output_tokens >= 0
  AND cost_nanos >= 0 AND own_key_input_tokens >= 0 AND own_key_output_tokens >= 0);
"""


def upgrade() -> None:
    for name in ("own_key_input_tokens", "own_key_output_tokens"):
        op.add_column("usage_records", sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.execute(NOT_NEGATIVE)


def downgrade() -> None:
    op.execute("ALTER TABLE usage_records DROP CONSTRAINT usage_records_not_negative")
    for name in ("own_key_output_tokens", "own_key_input_tokens"):
        op.drop_column("usage_records", name)

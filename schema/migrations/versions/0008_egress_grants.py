"""egress_grants: which private hosts each tenant may reach, and for what.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. A table
with `tenant_id` gets forced row-level security in the same migration (`schema/migrations/security.py`).
"""

import sqlalchemy as sa
from alembic import op

from schema.migrations import security

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "egress_grants",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("use", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.String(), nullable=True),
        sa.CheckConstraint("use IN ('tools', 'documents', 'providers', 'sign_in')", name="egress_grants_use"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "use", "host"),
    )
    op.execute(security.isolate("egress_grants", rights="SELECT, INSERT, UPDATE (host), DELETE"))
    op.execute(security.open_to_owner("egress_grants"))


def downgrade() -> None:
    op.drop_table("egress_grants")

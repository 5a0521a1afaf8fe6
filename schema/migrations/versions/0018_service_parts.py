"""service_parts: which part of the installation is up or down, as webhooks were told; the system writes their deliveries."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

WRITTEN = "tenant_id, id, event_id, endpoint_id, lane, type, occurred_at, sequence, data"


def upgrade() -> None:
    op.create_table(
        "service_parts",
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("watcher", sa.String(), nullable=False),
        sa.Column("watched_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("part"),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE ON service_parts TO headrace_system")
    op.execute("GRANT SELECT (tenant_id, id, enabled, events) ON webhook_endpoints TO headrace_system")
    op.execute(f"GRANT INSERT ({WRITTEN}) ON webhook_deliveries TO headrace_system")


def downgrade() -> None:
    op.execute(f"REVOKE INSERT ({WRITTEN}) ON webhook_deliveries FROM headrace_system")
    op.execute("REVOKE SELECT (tenant_id, id, enabled, events) ON webhook_endpoints FROM headrace_system")
    op.drop_table("service_parts")

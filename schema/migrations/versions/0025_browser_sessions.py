"""browser_sessions: browsers that are signed in by cookie. sign_in_codes: codes that sign one in once.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. A table
with `tenant_id` gets forced row-level security in the same migration (`schema/migrations/security.py`).
"""

import sqlalchemy as sa
from alembic import op

from schema.migrations import security

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.create_table(
        "browser_sessions",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("login_id", sa.Uuid(), nullable=True),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("num_nonnulls(login_id, key_id) = 1", name="browser_sessions_owner"),
        sa.ForeignKeyConstraint(["tenant_id", "login_id"], ["logins.tenant_id", "logins.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id", "key_id"], ["api_keys.tenant_id", "api_keys.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index("browser_sessions_login", "browser_sessions", ["tenant_id", "login_id"])
    op.create_index("browser_sessions_key", "browser_sessions", ["tenant_id", "key_id"])
    op.create_index("browser_sessions_expiry", "browser_sessions", ["expires_at"])
    op.create_table(
        "sign_in_codes",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id", "key_id"], ["api_keys.tenant_id", "api_keys.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "key_id"),
    )
    op.create_index("sign_in_codes_expiry", "sign_in_codes", ["expires_at"])
    for table, key in {"browser_sessions": "id", "sign_in_codes": "key_id"}.items():
        op.execute(security.isolate(table))
        op.execute(security.open_to_owner(table))
        op.execute(security.open_to_system(table, rights=f"SELECT (tenant_id, {key}, expires_at), DELETE"))


def downgrade() -> None:
    for table in ("sign_in_codes", "browser_sessions"):
        op.drop_table(table)

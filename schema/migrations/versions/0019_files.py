"""files: what clients keep here by `/v1/files`, outside of any collection.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. A table
with `tenant_id` gets forced row-level security in the same migration (`schema/migrations/security.py`).
"""

import sqlalchemy as sa
from alembic import op

from schema.migrations import security

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("stored_as", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index("files_expiry", "files", ["expires_at"], postgresql_where=sa.text("expires_at IS NOT NULL"))
    # As versions of documents: their bytes count against the tenant's storage, and are noted for removal with the row.
    op.execute(
        "CREATE TRIGGER file_counted AFTER INSERT OR DELETE ON files FOR EACH ROW EXECUTE FUNCTION version_counted()"
    )
    op.execute(security.isolate("files"))
    op.execute(security.open_to_owner("files"))
    op.execute(security.confine_to_user("files"))
    op.execute(security.open_to_system("files", rights="SELECT (tenant_id, id, expires_at), DELETE"))


def downgrade() -> None:
    op.drop_table("files")

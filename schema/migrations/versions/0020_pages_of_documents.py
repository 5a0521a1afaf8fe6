"""Pages of documents and files cost their length with every filter: an index for each that can be rare.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. A table
with `tenant_id` gets forced row-level security in the same migration (`schema/migrations/security.py`).
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

PRIVATE = sa.text("user_id IS NOT NULL")


def upgrade() -> None:
    op.create_index("documents_of_collection", "documents", ["tenant_id", "collection_id", "id"])
    op.create_index("documents_of_owner", "documents", ["tenant_id", "user_id", "id"], postgresql_where=PRIVATE)
    op.create_index("documents_private", "documents", ["tenant_id", "id"], postgresql_where=PRIVATE)
    op.create_index(
        *("document_versions_unready", "document_versions", ["tenant_id", "state", "document_id"]),
        postgresql_where=sa.text("state <> 'ready'"),
    )
    op.create_index("files_for_purpose", "files", ["tenant_id", "purpose", "id"])
    op.create_index("files_of_user", "files", ["tenant_id", "user_id", "id"])
    op.create_index("files_of_user_for_purpose", "files", ["tenant_id", "user_id", "purpose", "id"])
    op.drop_index("documents_of_user", table_name="documents")


def downgrade() -> None:
    op.create_index("documents_of_user", "documents", ["tenant_id", "user_id"], postgresql_where=PRIVATE)
    op.drop_index("files_of_user_for_purpose", table_name="files")
    op.drop_index("files_of_user", table_name="files")
    op.drop_index("files_for_purpose", table_name="files")
    op.drop_index("document_versions_unready", table_name="document_versions")
    op.drop_index("documents_private", table_name="documents")
    op.drop_index("documents_of_owner", table_name="documents")
    op.drop_index("documents_of_collection", table_name="documents")

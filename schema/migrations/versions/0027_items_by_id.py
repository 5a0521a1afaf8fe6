"""conversation_items: an index of their ids, by which responses refer to them.

A migration runs while the old version serves: an index changes nothing for it.
"""

from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    op.create_index("conversation_items_by_id", "conversation_items", ["tenant_id", "id"])


def downgrade() -> None:
    op.drop_index("conversation_items_by_id", "conversation_items")

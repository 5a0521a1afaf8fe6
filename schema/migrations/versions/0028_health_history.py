"""service_parts: the API shows operators since when a part is up or down, and what was wrong with it last.

A migration runs while the old version serves: a right to read changes nothing for it.
"""

from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    op.execute("GRANT SELECT ON service_parts TO headrace_app")


def downgrade() -> None:
    op.execute("REVOKE SELECT ON service_parts FROM headrace_app")

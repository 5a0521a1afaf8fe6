"""${message}.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. A table
with `tenant_id` gets forced row-level security in the same migration (`schema/migrations/security.py`).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}

"""schemas of agents, tools and pipelines keep the order of their keys: a model that is asked for its reasons before its decision
decides first, if `jsonb` sorts them.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. The old
version writes `jsonb` into these columns, and Postgres turns it into text.
"""

from alembic import op

revision = "0015"
down_revision = "0014"

COLUMNS = {
    "agents": "output_schema",
    "tools": "definition",
    "pipelines": "definition",
    "pipeline_versions": "definition",
}


def upgrade() -> None:
    _turn_into("json")


def downgrade() -> None:
    _turn_into("jsonb")


def _turn_into(kind: str) -> None:
    for table, column in COLUMNS.items():
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {kind} USING {column}::{kind}")

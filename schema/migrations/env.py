"""Where Alembic meets the tables. The connection comes from `schema/installation/migrate.py`, never from a file."""

from alembic import context

from schema.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()

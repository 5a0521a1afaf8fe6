"""The migrations, the tables, and the rules for both."""

import psycopg
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from api.local.stores.local_stores import Stores
from schema.installation.migrate import alembic_config, migrate, newest_migration
from schema.tables import TENANT_TABLES, THREAD_TABLES, metadata


def test_migrations_and_tables_match(migrated: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(migrated), poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        differences = compare_metadata(context, metadata)
    assert [] == [d for d in differences if "alembic_version" not in str(d)]


def test_the_newest_migration_is_the_only_head() -> None:
    """A file named out of turn, or two migrations on top of the same one, would be left out at a start."""
    assert [newest_migration()] == ScriptDirectory.from_config(alembic_config(None)).get_heads()


def test_a_database_at_head_is_not_migrated(database_url: str) -> None:
    assert migrate(database_url) is False


def test_a_process_that_stays_lets_a_child_migrate(stores: Stores) -> None:
    url = f"{stores.database_url.rpartition('/')[0]}/migrated_by_a_child"
    with psycopg.connect(stores.database_url, autocommit=True) as db:
        db.execute("CREATE DATABASE migrated_by_a_child")
    assert migrate(url, in_child=True) is True
    assert migrate(url) is False


def test_every_table_of_tenants_has_forced_row_security(migrated: str) -> None:
    threads = {table.__tablename__ for table in THREAD_TABLES}
    expected = {table.__tablename__ for table in TENANT_TABLES} | {"tenants"} | threads
    with psycopg.connect(migrated) as db:
        forced = {
            name
            for (name,) in db.execute(
                "SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity AND relkind IN ('r', 'p')"
            )
        }
        with_tenant = {
            name
            for (name,) in db.execute(
                "SELECT table_name FROM information_schema.columns "
                "WHERE column_name = 'tenant_id' AND table_schema = 'public'"
            )
        }
    assert expected == forced
    assert expected - {"tenants"} - threads == with_tenant


def test_the_roles_own_nothing_and_cannot_bypass_row_security(migrated: str) -> None:
    with psycopg.connect(migrated) as db:
        bypassing = db.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'headrace_%' AND (rolbypassrls OR rolsuper OR rolcreaterole)"
        ).fetchall()
        owned = db.execute(
            "SELECT relname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE r.rolname LIKE 'headrace_%'"
        ).fetchall()
    assert ([], []) == (bypassing, owned)

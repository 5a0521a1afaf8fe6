"""What is in an installation's database, as a backup notes it and a restore compares it; and how a database is emptied.

All of it is for the tables' owner, across tenants. Not here: the programs that copy the rows (`api/local/backup/`).
"""

import contextlib
import json
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString, cast

import msgspec
import psycopg
from psycopg.rows import DictRow, dict_row

from schema.migrations.security import ROLES
from schema.postgres.logins import ROLES as LOGINS
from schema.queries.documents.file_removals import DUE_LOCK
from schema.queries.identity.secrets import SEALED_TABLES

EXTENSIONS = ("vector", "unaccent", "btree_gin")
LOCK_WAIT = "1min"
EMPTY = (Path(__file__).parent / "empty.sql").read_text()

# A dump and a restore take as long as they take, also where the server's settings or the user's say otherwise.
WITHOUT_TIMEOUTS = (
    "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; "
    "SET transaction_timeout = 0; SET idle_session_timeout = 0"
)

TABLES = """
SELECT c.relname AS name FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1
"""
ISOLATION = """
SELECT (SELECT count(*) FROM pg_policies WHERE schemaname = 'public') AS policies,
  (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relforcerowsecurity) AS forced
"""
SEES_ALL = "SELECT rolsuper OR rolbypassrls AS all FROM pg_roles WHERE rolname = current_user"
OTHER_SCHEMAS = """
SELECT nspname AS name FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('public', 'information_schema')
"""
CONNECTED = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND usename = ANY (%s)"
STORING_TABLES = ("document_versions", "files")
"""What refers to stored files, by the column `stored_as`."""

ROUTINES = """
SELECT p.oid::regprocedure::text AS routine, pg_get_userbyid(p.proowner) AS owner FROM pg_proc p
WHERE p.pronamespace = 'public'::regnamespace AND pg_get_userbyid(p.proowner) = ANY (%s)
"""

# What runs with the rights of its owner (SECURITY DEFINER) must not come back with more of them. An owner needs the right to
# create things in the schema at that moment, which the processes' users otherwise don't have.
GIVE_AWAY = """
GRANT CREATE ON SCHEMA public TO {owners};
SET LOCAL search_path = public;
{changes}
REVOKE CREATE ON SCHEMA public FROM {owners};
"""

COMPARE = """
DO $compare$
DECLARE wanted record; found bigint;
BEGIN
  FOR wanted IN SELECT key AS name, value::bigint AS rows FROM pg_catalog.jsonb_each_text({tables}) LOOP
    EXECUTE pg_catalog.format('SELECT count(*) FROM public.%I', wanted.name) INTO found;
    IF found <> wanted.rows THEN
      RAISE EXCEPTION 'the table % has % rows, and had % when it was backed up', wanted.name, found, wanted.rows;
    END IF;
  END LOOP;
  SELECT policies * 1000 + forced FROM ({isolation}) AS i INTO found;
  IF found <> {policies} * 1000 + {forced} THEN
    RAISE EXCEPTION 'row-level security is not what it was when it was backed up';
  END IF;
END $compare$;
"""


class Contents(msgspec.Struct, frozen=True):
    """A database at one moment: its migration, the server's major version, rows by table, what isolates tenants, which routines
    belong to the users of the processes (all else is the installing user's), and how many secrets each key has sealed."""

    revision: str
    server: int
    tables: dict[str, int]
    policies: int
    forced: int
    owners: dict[str, str]
    key_ids: dict[str, int]


@dataclass(frozen=True)
class Snapshot:
    """A moment of a database that other connections can see too, by its id, until `end`."""

    db: psycopg.Connection[DictRow]
    id: str
    contents: Contents
    other_schemas: tuple[str, ...]

    def end(self) -> None:
        """Let the database forget the moment; files are still kept."""
        self.db.rollback()


def connect(database_url: str) -> psycopg.Connection[DictRow]:
    """Connect as the owner, without any time limit but that of connecting."""
    db = psycopg.Connection[DictRow].connect(
        database_url,
        row_factory=dict_row,
        connect_timeout=10,
        application_name="headrace backup",
        prepare_threshold=None,
    )
    db.execute(WITHOUT_TIMEOUTS)
    db.commit()
    return db


def sees_all(db: psycopg.Connection[DictRow]) -> bool:
    """Whether row-level security hides nothing from this user."""
    return bool(_one(db, SEES_ALL)["all"])


def list_tables(db: psycopg.Connection[DictRow]) -> list[str]:
    """Return the names of the tables that are there, without those of extensions."""
    return [row["name"] for row in db.execute(TABLES)]


def count_connected(db: psycopg.Connection[DictRow]) -> int:
    """Return how many connections the processes of an installation have to this database."""
    return _one(db, CONNECTED, (list(LOGINS),))["n"]


@contextlib.contextmanager
def snapshot(db: psycopg.Connection[DictRow]) -> Generator[Snapshot]:
    """Hold a moment of the database. No stored file is removed until the context ends, so that all files of that moment can be
    read. Raises psycopg.errors.LockNotAvailable while another backup does this."""
    db.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
    db.execute("SELECT pg_advisory_lock(%s)", (DUE_LOCK,))
    db.commit()
    try:
        db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        name = _one(db, "SELECT pg_export_snapshot() AS id")["id"]
        others = tuple(row["name"] for row in db.execute(OTHER_SCHEMAS))
        yield Snapshot(db, name, _contents(db), others)
    finally:
        if not db.closed and not db.broken:
            db.rollback()
            db.execute("SELECT pg_advisory_unlock(%s)", (DUE_LOCK,))
            db.commit()


def list_stored_files(db: psycopg.Connection[DictRow]) -> set[str]:
    """Return the names of all files that the database refers to."""
    there = set(list_tables(db)).intersection(STORING_TABLES)  # an older schema may lack one
    return {row["name"] for table in there for row in db.execute(_sql(f"SELECT stored_as AS name FROM public.{table}"))}


def sql_before(*, empty: bool) -> str:
    """Return the SQL that opens the transaction of a restore: no migration meanwhile, the roles, and with `empty` nothing left
    of what is there."""
    return "\n".join(
        [
            "BEGIN;",
            "SET LOCAL maintenance_work_mem = '256MB';",
            "SELECT pg_advisory_xact_lock(hashtext('headrace migrate'));",
            ROLES,
            EMPTY if empty else "",
        ]
    )


def sql_after(contents: Contents) -> str:
    """Return the SQL that ends the transaction of a restore: an error if anything isn't as `contents` says, else the commit."""
    compare = COMPARE.format(
        tables=f"{_quoted(json.dumps(contents.tables))}::pg_catalog.jsonb",
        isolation=ISOLATION,
        policies=int(contents.policies),
        forced=int(contents.forced),
    )
    return f"{_give_away(contents.owners)}{compare}\nCOMMIT;\n"


def _give_away(owners: dict[str, str]) -> str:
    changes = [f"ALTER ROUTINE {routine} OWNER TO {owner};" for routine, owner in sorted(owners.items())]
    return GIVE_AWAY.format(owners=", ".join(LOGINS), changes="\n".join(changes))


def _contents(db: psycopg.Connection[DictRow]) -> Contents:
    revision = _one(db, "SELECT version_num FROM alembic_version")["version_num"]
    tables = {name: _one(db, _sql(f'SELECT count(*) AS n FROM public."{name}"'))["n"] for name in list_tables(db)}
    keys = Counter[str]()
    for name in SEALED_TABLES.keys() & tables.keys():
        used = f"SELECT key_id, count(*) AS rows FROM public.{name} WHERE key_id IS NOT NULL GROUP BY 1"
        keys.update({row["key_id"]: row["rows"] for row in db.execute(_sql(used))})
    isolation = _one(db, ISOLATION)
    owners = {row["routine"]: row["owner"] for row in db.execute(ROUTINES, (list(LOGINS),))}
    server = db.info.server_version // 10_000
    return Contents(revision, server, tables, isolation["policies"], isolation["forced"], owners, dict(keys))


def _sql(text: str) -> LiteralString:
    """Tell the type checker that nothing of a user's is in `text`: names of our tables only."""
    return cast(LiteralString, text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _one(db: psycopg.Connection[DictRow], sql: LiteralString, values: Any = None) -> dict[str, Any]:
    row = db.execute(sql, values).fetchone()
    assert row is not None
    return row

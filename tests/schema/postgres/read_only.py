"""Makes a database refuse writes, as a standby or a provider whose disk is nearly full does, and mends it again."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from schema.postgres.logins import ROLES


@contextmanager
def read_only(database_url: str) -> Iterator[None]:
    """Processes' connections to the database can't write, and those that could are ended; the owner's go on."""
    with psycopg.connect(database_url, autocommit=True) as db:
        _set(db, database_url, "on")
        try:
            yield
        finally:
            _set(db, database_url, "off")


def _set(db: psycopg.Connection[tuple[object, ...]], database_url: str, value: str) -> None:
    name = sql.Identifier(str(conninfo_to_dict(database_url)["dbname"]))
    db.execute("SET default_transaction_read_only = off")
    db.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}").format(name, sql.Literal(value)))
    db.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = ANY(%s)",
        (list(ROLES),),
    )

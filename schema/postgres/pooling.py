"""What may stand between a process and Postgres: a pooler that hands each transaction to another server process.

Statements are prepared once per connection (`schema/postgres/batch.py`), so such a pooler must know them by a name of its own
and prepare them where they are missing: PgBouncer does from 1.21 on, with `max_prepared_statements`. One that passes our names
on works as long as nobody else is there, and then fails half of all transactions. So each process looks, once, at its start.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import psycopg
from psycopg.rows import scalar_row

from schema.errors import LoginRefused

ROUNDS = 5
"""How often two idle connections are compared: on a busy pooler another client may take the server process between."""

Connect = Callable[[], psycopg.Connection[Any]]

PID = "SELECT pg_backend_pid() AS pid"
NAMES = "SELECT name FROM pg_prepared_statements WHERE statement LIKE '%by our own name%'"

UNKNOWN_NAMES = (
    "A pooler before Postgres hands each transaction to another server process and passes on the names of prepared "
    "statements, so they would be missing, or there already. PgBouncer needs version 1.21 or newer with "
    "max_prepared_statements = 200; with an older one, set pool_mode = session."
)
STATEMENTS = (
    "A pooler before Postgres allows no transactions (pool_mode = statement). Set pool_mode = transaction or session."
)
NO_MIGRATION = (
    "HEADRACE_DATABASE_URL leads to a pooler that hands each transaction to another server process, and migrations hold a lock "
    "over several. Let it go past the pooler, and give processes HEADRACE_APP_DATABASE_URL and HEADRACE_SYSTEM_DATABASE_URL "
    "through it."
)


def check_pooling(connect: Connect) -> None:
    """Raise LoginRefused if connections lead to a pooler that prepared statements don't work with. Raises psycopg's errors."""
    with connect() as one:
        if not _is_pooled(one):
            return
        try:
            with one.transaction():
                one.execute(PID)
        except psycopg.Error as error:
            if "statement pooling mode" in str(error):
                raise LoginRefused(STATEMENTS) from error
            raise
    if shares_servers(connect) and _passes_names_on(connect):
        raise LoginRefused(UNKNOWN_NAMES)


def check_no_pooling(connect: Connect) -> None:
    """Raise LoginRefused if a session's connections may be served by several server processes. Raises psycopg's errors."""
    if shares_servers(connect):
        raise LoginRefused(NO_MIGRATION)


def shares_servers(connect: Connect) -> bool:
    """Whether two connections that are open at once meet in one server process, or one changes its own: never without a
    pooler, or with one that gives each connection a server process for as long as it lives."""
    with ExitStack() as opened:
        one = opened.enter_context(connect())
        if not _is_pooled(one):
            return False
        other = opened.enter_context(connect())
        seen = [(_pid(one), _pid(other)) for _ in range(ROUNDS)]
    return len({pid for pid, _ in seen}) > 1 or any(pid == others for pid, others in seen)


def _is_pooled(db: psycopg.Connection[Any]) -> bool:
    """Whether the process that answers is not the one that the connection was told of, which poolers make up."""
    return _pid(db) != db.pgconn.backend_pid


def _pid(db: psycopg.Connection[Any]) -> int:
    with db.cursor(row_factory=scalar_row) as cursor:
        pid = cursor.execute(PID, prepare=False).fetchone()
    assert isinstance(pid, int)
    return pid


def _passes_names_on(connect: Connect) -> bool:
    """Whether what we prepare has the name that we gave it."""
    with connect() as db:
        db.prepare_threshold = 0
        try:
            with db.cursor(row_factory=scalar_row) as cursor:
                names = cursor.execute(NAMES, prepare=True).fetchall()
        except psycopg.errors.DuplicatePreparedStatement:  # another client's, by the same name
            return True
        return any(str(name).startswith("_pg3_") for name in names)

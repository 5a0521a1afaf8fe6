"""Which servers a URL of Postgres names: one, or a primary and its standbys.

    postgresql://headrace:…@db1:5432,db2:5432/headrace?target_session_attrs=read-write

libpq tries them in turn, so whoever is connected after a failover is connected to the new primary. It takes the first that
answers, unless it is told to want one that takes writes; a URL of several servers that doesn't say so is refused.
"""

import asyncio
import time
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool

DEFAULT_PORT = 5432
READ_ONLY = "25006"
"""The SQLSTATE of a write that a standby was asked for: read_only_sql_transaction."""
LEAVE_AGAIN_S = 2.0
"""How soon a pool's connections to a server that takes no writes are replaced once more."""
WRITABLE = ("read-write", "primary")
"""What `target_session_attrs` may be: each other value leads to a standby as well."""


def list_servers(database_url: str) -> list[tuple[str, int]]:
    """Return host and port of each server that the URL names, in its order; an empty host is this machine's socket."""
    parts = conninfo_to_dict(database_url)
    hosts = str(parts.get("host") or parts.get("hostaddr") or "").split(",")
    ports = str(parts.get("port") or "").split(",")
    if len(ports) == 1:  # one for all
        ports *= len(hosts)
    return [(host, int(port or DEFAULT_PORT)) for host, port in zip(hosts, ports, strict=False)]


def check_primary_wanted(setting: str, database_url: str) -> None:
    """Raise ValueError if the URL names several servers and would be content with one that takes no writes. Quotes nothing of
    it, as it may hold a password."""
    try:
        several = len(list_servers(database_url)) > 1
        attrs = conninfo_to_dict(database_url).get("target_session_attrs")
    except (psycopg.Error, ValueError):
        raise ValueError(
            f"{setting} is no URL of Postgres: postgresql://user:password@127.0.0.1:5432/headrace."
        ) from None
    if several and attrs not in WRITABLE:
        raise ValueError(
            f"{setting} names several servers, and would be content with a standby. Add target_session_attrs=read-write, as in "
            "postgresql://user:password@db1,db2/headrace?target_session_attrs=read-write."
        )


_left_at: WeakKeyDictionary[AsyncConnectionPool[Any], float] = WeakKeyDictionary()
_leaving: set[asyncio.Task[None]] = set()


def leave_server(pool: AsyncConnectionPool[Any]) -> None:
    """Replace a pool's connections in the background, as they lead to a server that takes no writes: after a failover the same
    address may lead to another, or another of the URL's servers may be the primary."""
    if pool.closed or time.monotonic() - _left_at.get(pool, -LEAVE_AGAIN_S) < LEAVE_AGAIN_S:
        return
    _left_at[pool] = time.monotonic()
    task = asyncio.get_running_loop().create_task(pool.drain(), name="pool-drain")
    _leaving.add(task)
    task.add_done_callback(_leaving.discard)

"""A tenant's own database that tools may read from: how to connect, which tables, and the limits.

Only Postgres, and never headrace's own database, where a statement written by a model could make another tenant's rows visible.
Each call opens a connection of its own and closes it, so that no state is carried over.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from schema.errors import InputError
from tools.egress.addresses import as_address
from tools.egress.network import Resolver, resolve
from tools.egress.policy import EgressPolicy
from tools.egress.trust import as_file
from tools.errors import ToolRefused, ToolUnavailable

CONNECT_TIMEOUT_S = 5
ALLOWED_DSN_KEYS = frozenset({"host", "port", "user", "password", "dbname", "sslmode", "hostaddr"})
"""What a DSN may set. Other keys name local files, or override the options set below."""

OWN_LOGIN = {"passfile": "/dev/null", "gssencmode": "disable"}
NO_PASSWORD = {"password": ""}
"""libpq takes what a DSN lacks from this process: PGPASSWORD, ~/.pgpass, a Kerberos ticket. The operator's secrets must not go
to a tenant's host."""


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """`dsn` is a libpq connection string of a read-only role. Only `tables` may be queried: each key is `schema.table` in lower
    case, each value a line for the model about its columns. `ca`: the authority (PEM) that its server's certificate must be of,
    for the host of the DSN; without one that follows from the DSN's sslmode."""

    name: str
    dsn: str = field(repr=False)
    tables: Mapping[str, str] = field(default_factory=dict)
    max_rows: int = 1000
    max_bytes: int = 1024 * 1024
    statement_timeout_s: float = 10.0
    ca: str | None = None


async def resolve_dsn(dsn: str, policy: EgressPolicy, *, resolver: Resolver = resolve) -> str:
    """Resolve the host of the DSN and pin its address, so that a later lookup can't lead elsewhere. Raises InputError for an
    unusable DSN, EgressRefused for a private address that isn't allowed."""
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        raise InputError("dsn must be a Postgres connection string.", field="dsn") from None
    if forbidden := set(parts) - ALLOWED_DSN_KEYS:
        raise InputError(f"dsn may not set {', '.join(sorted(forbidden))}.", field="dsn")
    host, port = str(parts.get("host") or ""), str(parts.get("port") or "5432")
    if not host or host.startswith(("/", "@")) or "," in host or not port.isdigit() or "hostaddr" in parts:
        raise InputError("dsn must name exactly one host and at most one port.", field="dsn")
    try:
        literal = as_address(host)
        found = [literal] if literal else [ip_address(text) for text in await resolver(host, int(port))]
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise InputError(f"The host of dsn, {host}, can't be resolved.", field="dsn")
    replace(policy, ports=frozenset({int(port)})).check("https", host, int(port), found)
    pinned = OWN_LOGIN if "password" in parts else OWN_LOGIN | NO_PASSWORD
    if policy.ca_file and str(parts.get("sslmode")).startswith("verify"):
        pinned |= {"sslrootcert": policy.ca_file}
    return make_conninfo(dsn, hostaddr=str(found[0]), **pinned)


@asynccontextmanager
async def connect_read_only(source: DataSource) -> AsyncIterator[psycopg.AsyncConnection]:
    """Open a connection in a read-only transaction. Raises ToolUnavailable and ToolRefused.

    With an empty `search_path`, an unqualified name can only be a CTE or in pg_catalog."""
    milliseconds = int(source.statement_timeout_s * 1000)
    options = (
        f"-c default_transaction_read_only=on -c search_path= -c statement_timeout={milliseconds} -c lock_timeout=1000 "
        f"-c idle_in_transaction_session_timeout={milliseconds} -c standard_conforming_strings=on"
    )
    try:
        with _checked_by(source.ca, source.dsn) as dsn:
            db = await psycopg.AsyncConnection.connect(
                dsn, options=options, connect_timeout=CONNECT_TIMEOUT_S, application_name="headrace-tool"
            )
    except psycopg.Error:
        raise ToolUnavailable(f"The data source {source.name} can't be reached; try later or tell an admin.") from None
    try:
        if db.info.parameter_status("is_superuser") == "on":
            raise ToolRefused(
                f"The data source {source.name} connects as a superuser; an admin must give it a read-only role."
            )
        await db.set_read_only(True)
        yield db
    finally:
        await asyncio.shield(db.close())


@contextmanager
def _checked_by(ca: str | None, dsn: str) -> Iterator[str]:
    """A DSN that checks its server with an authority, for as long as the connection is made."""
    if ca is None:
        yield dsn
    else:
        with as_file(ca) as path:
            yield make_conninfo(dsn, sslmode="verify-full", sslrootcert=path)

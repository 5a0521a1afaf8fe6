"""Connections to Postgres: one pool per process and role, and the transactions that all queries run in.

Statements of a transaction are pipelined: they go out together, and only reading a result waits for it.
"""

import asyncio
import select
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import cached_property
from typing import Any, Literal, LiteralString, TypeVar, cast, overload
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
from psycopg import abc
from psycopg._preparing import PrepareManager
from psycopg.adapt import Transformer
from psycopg.rows import DictRow, class_row, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from schema.errors import Unavailable
from schema.postgres import outage_log
from schema.postgres.freezes import FreezeWatch
from schema.postgres.logins import PROOF, Role, check_proof, login_conninfo
from schema.postgres.outages import patience_s
from schema.postgres.servers import READ_ONLY, leave_server
from schema.postgres.tenant_shares import TenantShares


class _Statements(PrepareManager):
    """The prepared statements of psycopg. After a rollback it deallocates all of a connection, also those that others have
    prepared (`schema/postgres/batch.py`), who then would use what isn't there: an error in Postgres' log each time."""

    def maintain_gen(self, conn: Any) -> Any:
        if None in self._to_flush:
            prepared_by_batches.pop(conn, None)
        yield from super().maintain_gen(conn)


class Connection(psycopg.AsyncConnection[DictRow]):
    """A connection whose prepared statements are known, and that remembers how types are read and written (for batches)."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._prepared = _Statements()

    @cached_property
    def transformer(self) -> abc.Transformer:
        """What reads and writes values. A new one for each batch would look up every type again."""
        return Transformer(self)


Db = psycopg.AsyncConnection[DictRow]
Pool = AsyncConnectionPool[Db]
Row = TypeVar("Row")
"""A frozen struct with a field for each column; a statement that fills one names its columns, as `*` may grow."""

prepared_by_batches: WeakKeyDictionary[Db, dict[bytes, tuple[str, ...]]] = WeakKeyDictionary()
"""The statements of `schema/postgres/batch.py` that each connection has, with the columns of their results; empty until the
first result."""

_checking: set[str] = set()  # names of pools whose idle connections are being checked

_shares: WeakKeyDictionary[Pool, TenantShares] = WeakKeyDictionary()

_watches: WeakKeyDictionary[Pool, FreezeWatch] = WeakKeyDictionary()

_refused_at: WeakKeyDictionary[Pool, float] = WeakKeyDictionary()

_used_at: WeakKeyDictionary[Db, float] = WeakKeyDictionary()

ASSUME_ALIVE_S = 0.5  # how long after its use a connection is not checked
MIN_SIZE = 1
"""How many connections an idle pool keeps, as each is 2.5 MB in the server. Busy ones keep what they used for five minutes."""
POOL_TIMEOUT_S = 3.0  # how long a request waits for a connection before Unavailable is raised


def pool_for(
    database_url: str, role: Role, *, max_size: int = 16, kept: int = MIN_SIZE, name: str = "headrace"
) -> Pool:
    """Return a closed pool whose connections are `role`'s; open it inside the loop that will use it. `database_url` is that
    role's or the owner's (`schema/postgres/logins.py`). An idle pool keeps `kept` connections."""

    async def configure(db: Db) -> None:
        await prove(db, role)
        outage_log.PROCESS.connected()

    pool = AsyncConnectionPool(
        login_conninfo(database_url, role),
        configure=configure,
        open=False,
        min_size=min(kept, max_size),
        max_size=max_size,
        timeout=POOL_TIMEOUT_S,
        max_idle=300,
        reconnect_timeout=5,
        connection_class=cast(type[Db], Connection),
        kwargs=connection_options(name),
    )
    pool._pool = _LastUsedFirst()  # pyright: ignore[reportPrivateUsage] -- psycopg_pool has no setting for it
    return pool


class _LastUsedFirst(deque[Any]):
    """The idle connections of a pool. psycopg_pool takes the one that was idle longest, and so uses all in turn; but a server
    process that was just busy still has its caches warm, and those that nobody needs can be closed."""

    def popleft(self) -> Any:
        return self.pop()


async def prove(db: Db, role: Role) -> None:
    """Check that a new connection is `role`'s, with its settings. Raises LoginRefused; then the pool logs it, discards the
    connection and tries again."""
    check_proof(await (await db.execute(PROOF, prepare=False)).fetchone(), role)


def connection_options(name: str) -> dict[str, Any]:
    """Return the options of every connection."""
    return {
        "autocommit": True,
        "row_factory": dict_row,
        "prepare_threshold": 0,
        "connect_timeout": 3,
        "application_name": name,
        "client_encoding": "utf8",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 15000,
    }


ALLOW_LONG_STATEMENTS = "SET LOCAL statement_timeout = '15min'"
"""For transactions that write many vectors: a document may have a hundred thousand, and each is added to an index."""

SET_TENANT_AND_USER = "SELECT set_config('headrace.tenant_id', %s, true), set_config('headrace.user_id', %s, true)"


@asynccontextmanager
async def tenant_tx(pool: Pool, tenant_id: UUID, *, user_id: UUID | None = None) -> AsyncGenerator[Db, None]:
    """A transaction limited to the rows of `tenant_id` and, with `user_id`, to that user's sessions and jobs.

    Raises Unavailable if Postgres does not answer. Then nothing was committed, unless the connection broke during the commit
    itself; only a compare-and-set can detect that.
    """
    async with tenant_share(pool, tenant_id), connection(pool) as db, db.pipeline(), db.transaction():
        await db.execute(SET_TENANT_AND_USER, (str(tenant_id), str(user_id or "")))
        yield db


def limit_tenants(pool: Pool, most: int) -> None:
    """Let each tenant hold up to `most` of the pool's connections at once; more of its transactions wait."""
    _shares[pool] = TenantShares(most)


def tenant_share(pool: Pool, tenant_id: UUID) -> AbstractAsyncContextManager[None]:
    """Hold a place in the tenant's share of the pool, if it has shares. Raises Unavailable."""
    shares = _shares.get(pool)
    return nullcontext() if shares is None else shares.hold(tenant_id)


@asynccontextmanager
async def watch_freezes(pool: Pool) -> AsyncGenerator[FreezeWatch, None]:
    """Within, end what a Postgres that stands still holds up, and refuse more of it at once."""
    watch = _watches[pool] = FreezeWatch(str(pool.conninfo))
    task = asyncio.get_running_loop().create_task(watch.run(), name="freeze-watch")
    try:
        yield watch
    finally:
        del _watches[pool]
        task.cancel()
        await asyncio.wait({task})


@asynccontextmanager
async def system_tx(pool: Pool) -> AsyncGenerator[Db, None]:
    """A transaction of the dispatcher or the sweeper, across tenants; `pool` has the role `headrace_system`."""
    async with connection(pool) as db, db.pipeline(), db.transaction():
        yield db


@asynccontextmanager
async def connection(pool: Pool) -> AsyncGenerator[Db, None]:
    """A connection for single statements, without a transaction. Raises Unavailable."""
    if is_frozen(pool):
        raise Unavailable("The database does not answer.", effect="nothing")
    watch, cancels = _watches.get(pool), _cancels()
    try:
        db = await _take(pool)
        if watch is not None:
            watch.begin(db)
        try:
            _heed_cancel(cancels)
            yield db
        finally:
            if watch is not None:
                watch.end(db)
            # After a cancellation the connection may still be in pipeline mode, and must not be reused.
            if db.pgconn.pipeline_status:
                await db.close()
            await pool.putconn(db)
        _heed_cancel(cancels)
    except (psycopg.Error, PoolTimeout) as error:
        _heed_cancel(cancels)
        if is_outage(error):
            _check_idle(pool)
            state = getattr(error, "sqlstate", None) or ""
            if state == READ_ONLY:
                leave_server(pool)
            if state[:2] in REFUSES_WRITES:
                _refused_at[pool] = time.monotonic()
            raise Unavailable("The database is unavailable.", effect=_effect(error)) from error
        raise


def _cancels() -> int:
    """Return how often the current task was cancelled."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _heed_cancel(before: int) -> None:
    """Raise CancelledError if the task was cancelled since `_cancels()` returned `before`. psycopg has the server give up a
    statement, and its pool waits with Python 3.11's `wait_for`: with bad luck both go on as if nobody had cancelled, or raise
    what went wrong meanwhile. A task that doesn't end keeps a job, or a whole process, from ending."""
    if _cancels() > before:
        raise asyncio.CancelledError


def _effect(error: Exception) -> Literal["nothing", "unknown"]:
    """Return whether what was sent may have been done: the connection may have broken after the commit had arrived."""
    broke = isinstance(error, psycopg.OperationalError) and error.sqlstate is None
    return "unknown" if broke else "nothing"


async def _take(pool: Pool) -> Db:
    """Return a connection that is not known to be closed: after a restart of Postgres all idle connections are closed, and
    their sockets show it without a round trip. A connection that was just in use is not checked."""
    now = time.monotonic()
    while True:
        db = await _wait_for_connection(pool)
        if _used_at.get(db, 0.0) + ASSUME_ALIVE_S > now or not _has_hung_up(db):
            _used_at[db] = now
            return db
        await db.close()
        await pool.putconn(db)  # discards it and opens another


async def _wait_for_connection(pool: Pool) -> Db:
    """Return a connection of the pool; a task with patience waits through an outage (`schema/postgres/outages.py`)."""
    give_up_at = time.monotonic() + patience_s()
    while True:
        try:
            return await pool.getconn()
        except PoolTimeout:
            if time.monotonic() >= give_up_at:
                raise


def _has_hung_up(db: Db) -> bool:
    """Whether the server has closed the connection: a live idle one has nothing to read. Sends nothing."""
    if db.closed:
        return True
    poll = select.poll()
    poll.register(db.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _check_idle(pool: Pool) -> None:
    """Check the pool's idle connections in the background: after a restart of Postgres all of them are closed, and each would
    fail a request."""
    if pool.closed or pool.name in _checking:
        return
    _checking.add(pool.name)
    task = asyncio.get_running_loop().create_task(pool.check(), name="pool-check")
    task.add_done_callback(lambda _: _checking.discard(pool.name))


def is_frozen(pool: Pool) -> bool:
    """Whether Postgres stands still, as far as the pool's watch knows."""
    watch = _watches.get(pool)
    return watch is not None and watch.frozen


def was_refused(pool: Pool, within_s: float) -> bool:
    """Whether Postgres refused a write in the last `within_s` although it answers, for instance as its disk is full."""
    at = _refused_at.get(pool)
    return at is not None and time.monotonic() - at < within_s


OUTAGES = {
    "08": "the connection failed",
    "25": "the transaction can't write: Postgres is read-only, as a standby is, or a limit ended it",
    "53": "no disk space, memory or connections are left",
    "57": "an operator or a time-out intervened",
    "58": "the system below Postgres failed, such as its disk",
}
"""Classes of SQLSTATE that say nothing about the statement: it may succeed later, unchanged."""


REFUSES_WRITES = ("25", "53", "58")


def is_outage(error: Exception) -> bool:
    """Whether Postgres is unavailable, wholly or for writing, as opposed to a failed statement (deadlock, constraint)."""
    state = getattr(error, "sqlstate", None)
    if state is None:  # no reply, so the connection was lost or refused
        return isinstance(error, psycopg.OperationalError | PoolTimeout)
    return state[:2] in OUTAGES


@overload
async def fetch_one(db: Db, sql: str, values: Mapping[str, Any]) -> DictRow | None: ...
@overload
async def fetch_one(db: Db, sql: str, values: Mapping[str, Any], *, into: type[Row]) -> Row | None: ...
async def fetch_one(db: Db, sql: str, values: Mapping[str, Any], *, into: type[Any] | None = None) -> Any:
    """Run `sql` and return its first row, or None. With `into`, the row is that struct, whose fields are the columns."""
    return await (await _cursor(db, into).execute(cast(LiteralString, sql), values)).fetchone()


@overload
async def fetch_all(db: Db, sql: str, values: Mapping[str, Any], *, prepare: bool | None = None) -> list[DictRow]: ...
@overload
async def fetch_all(
    db: Db, sql: str, values: Mapping[str, Any], *, into: type[Row], prepare: bool | None = None
) -> list[Row]: ...
async def fetch_all(
    db: Db, sql: str, values: Mapping[str, Any], *, into: type[Any] | None = None, prepare: bool | None = None
) -> list[Any]:
    """Run `sql` and return its rows; with `into`, each is that struct, whose fields are the columns. `prepare` False plans it
    for these values."""
    return await (await _cursor(db, into).execute(cast(LiteralString, sql), values, prepare=prepare)).fetchall()


def _cursor(db: Db, into: type[Any] | None) -> psycopg.AsyncCursor[Any]:
    return db.cursor() if into is None else db.cursor(row_factory=class_row(into))

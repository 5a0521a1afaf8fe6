"""Which Postgres and Redis to use: the ones that were named, else embedded ones under the data folder.

Not here: migrations (`schema/installation/migrate.py`) and the processes of the stack (`api/local/supervisor.py`).
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from api.local.home import Home
from api.local.stores.postgres import EmbeddedPostgres
from api.local.stores.store import EmbeddedStore
from api.local.stores.valkey import EmbeddedValkey

LOCK_WAIT_S = 10.0
"""How long to wait for the stores of a killed stack to release the data folder; they write a checkpoint first."""


@dataclass(frozen=True)
class Stores:
    """Where the stores are. The handles are None for a store that was named by its URL and is not ours to stop."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    postgres: EmbeddedPostgres | None = None
    valkey: EmbeddedValkey | None = None


@contextlib.contextmanager
def open_stores(
    home: Path,
    *,
    durable: bool = True,
    database_url: str | None = None,
    redis_url: str | None = None,
    wait_s: float = 0.0,
) -> Iterator[Stores]:
    """Both stores, answering; the embedded ones are stopped cleanly at the end.

    A given URL replaces that embedded store. `durable=False` trades safety against power cuts for speed, for tests.
    Raises HomeInUse when another process holds the folder for longer than `wait_s`, LocalError when a store does not
    start. Call it from the main thread, or the stores die with the thread.
    """
    folder = Home(home)
    with folder.locked(wait_s=wait_s):
        postgres = None if database_url else EmbeddedPostgres(folder, durable=durable)
        valkey = None if redis_url else EmbeddedValkey(folder, durable=durable)
        with _running([store for store in (valkey, postgres) if store is not None]):
            yield Stores(
                database_url=postgres.url if postgres else database_url or "",
                redis_url=valkey.url if valkey else redis_url or "",
                postgres=postgres,
                valkey=valkey,
            )


@contextlib.contextmanager
def _running(embedded: list[EmbeddedStore]) -> Iterator[None]:
    """Start all before waiting for any; stop in the opposite order, whatever happened in between."""
    with contextlib.ExitStack() as started:
        for store in embedded:
            started.callback(store.stop)
            store.launch()
        for store in embedded:
            store.wait_ready()
        for store in embedded:
            if isinstance(store, EmbeddedPostgres):
                store.ensure_database()
        yield

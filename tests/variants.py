"""The stores that an installation may have instead of one Postgres and one Redis, for chaos and journeys:

./headrace chaos --quick --variant standby     Postgres with a standby
./headrace chaos --quick --variant sentinel    Redis with a replica and sentinels
HEADRACE_VARIANT=standby ./headrace test tests/journeys
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from api.local.stores.local_stores import Stores
from tests.postgres_pair import postgres_pair
from tests.rabbitmq import INSTALLED, MISSING, RabbitMQ
from tests.schema.postgres.poolers import TOO_OLD, TRACKS_STATEMENTS, pgbouncer
from tests.sentinels import watched_valkey

SETTING = "HEADRACE_VARIANT"


def _nothing(database_url: str) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class Varied:
    """The stores of a variant, and what the processes over a database of theirs need to be told besides."""

    stores: Stores
    settings: Callable[[str], Mapping[str, str]] = _nothing


@contextlib.contextmanager
def _standby(stores: Stores, folder: Path) -> Iterator[Varied]:
    """A Postgres whose commits wait for a standby."""
    assert stores.postgres is not None
    with postgres_pair(stores.postgres, folder) as pair:
        both: Any = pair  # is killed and started as the one server is
        yield Varied(replace(stores, database_url=pair.url, postgres=both))


@contextlib.contextmanager
def _rabbitmq(stores: Stores, folder: Path) -> Iterator[Varied]:
    """RabbitMQ carries the doorbells."""
    assert INSTALLED, MISSING
    with RabbitMQ(folder) as rabbit:
        settings = {"HEADRACE_BROKER_URL": rabbit.url}
        yield Varied(stores, lambda database_url: settings)


@contextlib.contextmanager
def _sentinel(stores: Stores, folder: Path) -> Iterator[Varied]:
    """Two servers of Redis, and the sentinels that know the master."""
    with watched_valkey(folder) as servers:
        both: Any = servers  # is killed and started as the one server is
        yield Varied(replace(stores, redis_url=servers.url, valkey=both))


@contextlib.contextmanager
def _pgbouncer(stores: Stores, folder: Path) -> Iterator[Varied]:
    """Processes reach Postgres through PgBouncer in transaction mode; the owner goes past it."""
    assert TRACKS_STATEMENTS, TOO_OLD
    folder.mkdir(parents=True, exist_ok=True)
    with pgbouncer(stores.database_url, folder, mode="transaction", prepared=200) as pooler:
        yield Varied(stores, pooler.role_urls)


VARIANTS: dict[str, Callable[[Stores, Path], AbstractContextManager[Varied]]] = {
    "standby": _standby,
    "rabbitmq": _rabbitmq,
    "sentinel": _sentinel,
    "pgbouncer": _pgbouncer,
}


@contextlib.contextmanager
def varied(name: str | None, stores: Stores, folder: Path) -> Iterator[Varied]:
    """Start what the variant has besides the stores; without a name, nothing. Use it in the main thread."""
    if not name:
        yield Varied(stores)
        return
    with VARIANTS[name](stores, folder / name) as made:
        yield made


def named_variant() -> str | None:
    """The variant that a run of the tests is to use."""
    name = os.environ.get(SETTING) or None
    assert name is None or name in VARIANTS, f"{SETTING} is one of {', '.join(VARIANTS)}"
    return name

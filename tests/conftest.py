"""What all tests share: real embedded stores, one database a module, tenants with keys.

The stores start once a session in well under a second and forget everything at its end. A module gets a fresh copy of
the migrated database and an empty Redis database, so modules can't meet.
"""

import gc
import inspect
import itertools
import os
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from api.local.stores.local_stores import Stores, open_stores
from schema.egress_uses import EGRESS_USES
from schema.identity.api_keys import new_api_key
from schema.identity.rights import Role
from schema.installation.bootstrap import ensure_api_key, ensure_tenant
from schema.installation.migrate import migrate
from tests.fork_server import ForkServers
from tests.reporting import Reporting, slow_first
from tests.selection import choose, is_left_out, is_short, seed_of
from tests.sentinels import connect, in_database
from tests.system import System
from tests.variants import named_variant, varied
from tests.waiting import bounded
from workers.queue.job_core import JobCore, JobCoreSettings, open_job_core

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # children would compile everything at every start


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Reporting(config))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect no garbage while modules are imported, and don't look for any among them later: half a million objects that all
    live to the end, which each full collection would walk through again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


VARYING = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)?")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Leave ids, times and packed bytes, which hold a time, out of the names of tests: each process makes up its own, and all
    must collect the same tests."""
    if isinstance(val, bytes) and not val.isascii():
        return "bytes"
    return VARYING.sub("_", val) if isinstance(val, str) and VARYING.search(val) else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if is_short() and collection_path.suffix == ".py":
        return is_left_out(collection_path.relative_to(config.rootpath).as_posix(), seed_of(config)) or None
    return None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if is_short():
        chosen = choose([item.nodeid for item in items], seed_of(config))
        items[:] = [item for item in items if item.nodeid in chosen]
    items[:] = slow_first(items)
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.obj = bounded(item.obj)


_redis_numbers = itertools.cycle(range(1, 16))


@dataclass(frozen=True)
class TestTenant:
    """A tenant of its own and the key to it."""

    __test__ = False

    id: UUID
    slug: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


@pytest.fixture(scope="session", autouse=True)
def fork_servers() -> Iterator[None]:
    """Fork the processes of headrace that tests start."""
    with ForkServers() as System.fork_servers:
        yield
    System.fork_servers = None


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    folder = Path(tmp_path_factory.mktemp("stores"))
    with (
        open_stores(folder, durable=False) as running,
        varied(named_variant(), running, folder.with_name(f"{folder.name}-variant")) as variant,
    ):
        System.variant = staticmethod(variant.settings)
        yield variant.stores


@pytest.fixture(scope="session")
def migrated(stores: Stores) -> str:
    """A migrated database that nobody is connected to; its copies are what tests use."""
    url = _create_database(stores.database_url, "headrace_template")
    migrate(url)
    return url


@pytest.fixture(scope="module")
def database_url(stores: Stores, migrated: str) -> str:
    return _create_database(stores.database_url, f"test_{uuid.uuid4().hex[:12]}", template="headrace_template")


@pytest.fixture(scope="module")
def redis_url(stores: Stores) -> str:
    url = in_database(stores.redis_url, next(_redis_numbers))
    with connect(url) as client:
        client.flushdb()
    return url


@pytest.fixture
async def core(database_url: str, redis_url: str) -> AsyncIterator[JobCore]:
    """The API's side of the job core, in this process."""
    async with open_job_core(JobCoreSettings(database_url, redis_url)) as opened:
        yield opened


@pytest.fixture
def tenant(database_url: str, request: pytest.FixtureRequest) -> TestTenant:
    """A tenant of the test's own; its key has the role that the module names as TENANT_ROLE, else a member's."""
    return make_tenant(database_url, role=getattr(request.module, "TENANT_ROLE", "member"))


def make_tenant(database_url: str, *, role: Role = "member", egress: bool = True, **limits: int) -> TestTenant:
    """Make a tenant with a key of `role`; `limits` are weight, max_running and max_queued. With `egress` it may reach
    127.0.0.1, where the counterparts are."""
    slug, key = f"t-{uuid.uuid4().hex[:8]}", new_api_key()
    with psycopg.connect(database_url) as db:
        tenant_id = ensure_tenant(db, slug, slug, **limits)
        ensure_api_key(db, tenant_id, key, name="test", role=role)
        for use in EGRESS_USES if egress else ():
            sql = "INSERT INTO egress_grants (tenant_id, use, host) VALUES (%s, %s, '127.0.0.1/32')"
            db.execute(sql, (tenant_id, use))
    return TestTenant(tenant_id, slug, key)


def _create_database(server_url: str, name: str, *, template: str = "template1") -> str:
    with psycopg.connect(server_url, autocommit=True) as db:
        db.execute(
            f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy'
        )  # without fsync the cheaper way
    before, _, after = server_url.rpartition("/")
    return f"{before}/{name}{after[after.index('?') :] if '?' in after else ''}"

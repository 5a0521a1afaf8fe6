"""One running headrace for all journeys that leave it whole, and one over stores of its own for those that break them. Each
process of tests has its own, from its first journey that wants it to its last journey.
"""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from api.local.stores.local_stores import Stores, open_stores
from schema.installation.migrate import migrate
from tests.conftest import TestTenant, _create_database, make_tenant
from tests.journeys.client import Client
from tests.system import ROOT, ModelProcess, System
from tests.variants import named_variant, varied

SHORT_TIMEOUTS = {
    **{"HEADRACE_MODEL_FIRST_TOKEN_S": "8", "HEADRACE_MODEL_BETWEEN_TOKENS_S": "8"},
    "HEADRACE_EMBEDDERS": "minilm,openai/small",
}


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine for a fixture that outlives the loops of the tests."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@contextlib.contextmanager
def running(system: System) -> Iterator[System]:
    """Start a system and stop it at the end."""
    run(system.__aenter__())
    try:
        yield system
    finally:
        system.stop_all()


def keep_commits(database_url: str) -> None:
    """Have commits survive a kill of Postgres, which the stores of tests otherwise trade for speed."""
    with psycopg.connect(database_url, autocommit=True) as db:
        name = db.info.dbname
        db.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = on')


@pytest.fixture(scope="package")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelProcess]:
    with ModelProcess(tmp_path_factory.mktemp("model")) as process:
        yield process


@pytest.fixture(scope="package")
def shared_url(stores: Stores, migrated: str) -> str:
    return _create_database(stores.database_url, "journeys", template="headrace_template")


@pytest.fixture(scope="package")
def shared(
    stores: Stores, shared_url: str, provider: ModelProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """The system that all use who leave it as they found it: `api`, `chat` and `scheduler` run."""
    folder = tmp_path_factory.mktemp("shared")
    system = System(shared_url, stores.redis_url, folder=folder, model_url=provider.base_url, settings=SHORT_TIMEOUTS)
    with running(system):
        yield system


KEPT = "ingestion"
"""The worker that the next test about documents finds running; nothing else notices it."""


@pytest.fixture
async def system(shared: System) -> AsyncIterator[System]:
    """The shared system; processes that the test killed are started again, those it added are stopped."""
    yield shared
    for name in list(shared.processes):
        keeps = name == KEPT and shared.processes[name].poll() is None
        if name not in shared.roles and not keeps:
            shared.kill(name)
            del shared.processes[name]
    for name in shared.roles:
        if shared.processes[name].poll() is not None:
            shared.start(name)
            await shared.ready(name)


@pytest.fixture
async def worker(system: System) -> str:
    """The name of a running worker for ingestion; whoever stops it waits for its end."""
    if KEPT not in system.processes:
        system.start(KEPT)
    await system.ready(KEPT)
    return KEPT


@pytest.fixture
def tenant(shared_url: str) -> TestTenant:
    return make_tenant(shared_url)


@pytest.fixture
async def client(system: System, tenant: TestTenant) -> AsyncIterator[Client]:
    async with Client(system.url, tenant.headers) as opened:
        yield opened


@pytest.fixture(scope="package")
def erp_url(shared: System) -> Iterator[str]:
    """The demo's ERP, a process that checks its callers' tokens against the shared system's keys."""
    keys = f"{shared.url}/.well-known/jwks.json"
    command = [sys.executable, "-m", "tools.erp", "--port", "0", "--jwks", keys, "--issuer", "http://localhost:8000"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@pytest.fixture(scope="package")
def fragile(provider: ModelProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stores, System]]:
    """A system over stores of its own, which tests may kill and must start again."""
    folder = tmp_path_factory.mktemp("fragile-stores")
    with (
        open_stores(folder, durable=False) as single,
        varied(named_variant(), single, folder.with_name(f"{folder.name}-variant")) as made,
    ):
        stores = made.stores
        migrate(stores.database_url)
        keep_commits(stores.database_url)
        folder = tmp_path_factory.mktemp("fragile")
        with running(
            System(
                stores.database_url,
                stores.redis_url,
                folder=folder,
                model_url=provider.base_url,
                settings=made.settings(stores.database_url),
            )
        ) as system:
            yield stores, system


@pytest.fixture
async def fragile_client(fragile: tuple[Stores, System]) -> AsyncIterator[Client]:
    stores, system = fragile
    async with Client(system.url, make_tenant(stores.database_url).headers) as opened:
        yield opened

"""Two ways to call the API: in this process without any worker (`api`), and as it runs in production (`system`)."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from litestar import Litestar

from api.app import create_app, fresh_state
from api.settings import ApiSettings
from schema.identity.api_keys import new_api_key
from schema.installation.bootstrap import ensure_api_key
from schema.vault import PLATFORM
from tests.api.documented_errors import require_documented
from tests.conftest import TestTenant, make_tenant
from tests.counterparts.oidc_provider import OidcProvider
from tests.counterparts.openai.server import OpenAIServer
from tests.secret import VAULT
from tests.system import System
from tests.waiting import PATIENCE_S
from tools.egress import EgressPolicy
from workers.queue.job_core import JobCore
from workers.storage.settings import StorageSettings

HOOKS = {"response": [require_documented]}


@dataclass(frozen=True)
class Running:
    """A running headrace with a model server behind it and a tenant of its own."""

    __test__ = False

    system: System
    models: OpenAIServer
    tenant: TestTenant
    http: httpx.AsyncClient

    @property
    def url(self) -> str:
        return self.system.url


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the application stores files."""
    return tmp_path_factory.mktemp("storage") / "files"


@pytest.fixture(scope="module")
def settings(database_url: str, redis_url: str, folder: Path) -> ApiSettings:
    return ApiSettings(
        database_url=database_url,
        redis_url=redis_url,
        vault=VAULT,
        egress=EgressPolicy.from_env({"HEADRACE_EGRESS_ALLOW": "127.0.0.1"}),
        request_timeout_s=0.2,
        completion_timeout_s=30.0,  # nobody works here: a completion that is accepted against expectation ends its test
        max_body=1_000_000,
        storage=StorageSettings(folder=folder),
    )


@pytest.fixture(scope="module")
async def application(settings: ApiSettings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application in this process; no worker runs, and nobody is signed in. The tests of a module share it,
    since it takes longer to make than most of them."""
    async with serving(settings) as client:
        yield client


@pytest.fixture
async def api(application: httpx.AsyncClient, tenant: TestTenant) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it, signed in as `tenant`."""
    async with calling(application, tenant.key) as client:
        yield client


@pytest.fixture
async def admin(application: httpx.AsyncClient, database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it, signed in as the platform's admin."""
    key = new_api_key()
    with psycopg.connect(database_url) as db:
        ensure_api_key(db, PLATFORM, key, name="test", role="admin")
    async with calling(application, key) as client:
        yield client


@pytest.fixture
def owner(database_url: str) -> TestTenant:
    """A tenant whose key is an owner's."""
    return make_tenant(database_url, role="owner")


@pytest.fixture
def stranger(database_url: str, request: pytest.FixtureRequest) -> TestTenant:
    """Another tenant, its key with the role of the test's own."""
    return make_tenant(database_url, role=getattr(request.module, "TENANT_ROLE", "member"))


@pytest.fixture
async def provider() -> AsyncIterator[OidcProvider]:
    """An identity provider."""
    async with OidcProvider() as provider:
        yield provider


@pytest.fixture
async def nobody_has_failed(core: JobCore) -> None:
    """Forget failed sign-ins: all tests come from one address."""
    await core.redis.call("FLUSHDB")


@contextmanager
def lent(settings: ApiSettings) -> Iterator[Litestar]:
    """An application with these settings. To make one takes longer than most tests, so a stopped one is used again, with a
    fresh state: the key has all that the routes are made of."""
    key = settings.cors_origins, settings.max_body
    app = _stopped[key].pop() if _stopped[key] else create_app(settings)
    app.state.update(fresh_state(settings))
    yield app
    _stopped[key].append(app)


_stopped: dict[Any, list[Litestar]] = defaultdict(list)


@asynccontextmanager
async def serving(app: Litestar | ApiSettings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `app`, or of one with these settings."""
    if isinstance(app, Litestar):
        async with _started(app) as client:
            yield client
    else:
        with lent(app) as application:
            async with _started(application) as client:
                yield client


@asynccontextmanager
async def _started(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `app`, which is started and stopped in a task of its own: Litestar's lifespan can't change tasks, and
    pytest ends fixtures in another than it begins them in."""
    started, stop = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.lifespan():
            started.set()
            await stop.wait()

    task = asyncio.create_task(live())
    await asyncio.wait((task, asyncio.create_task(started.wait())), return_when=asyncio.FIRST_COMPLETED)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=PATIENCE_S) as client:
            yield client
    finally:
        stop.set()
        await task


def calling(client: httpx.AsyncClient, key: str) -> httpx.AsyncClient:
    """Return another client of the same application, with this key."""
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.AsyncClient(transport=client._transport, base_url="http://test", timeout=PATIENCE_S, headers=headers)


@pytest.fixture(scope="module")
async def running(
    database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    """API, worker and scheduler as processes, with `openai/…` models that do what their names say."""
    tenant = make_tenant(database_url)
    async with OpenAIServer() as models:
        system = System(
            database_url,
            redis_url,
            folder=tmp_path_factory.mktemp("system"),
            model_url=models.base_url,
            settings={
                "HEADRACE_DEFAULT_MODEL": "openai/text-5",
                "HEADRACE_MODEL_FIRST_TOKEN_S": "20",
                "HEADRACE_RESPONSES_MODELS": "openai/responding-*",
            },
        )
        async with system, httpx.AsyncClient(base_url=system.url, headers=tenant.headers, timeout=PATIENCE_S) as http:
            yield Running(system, models, tenant, http)

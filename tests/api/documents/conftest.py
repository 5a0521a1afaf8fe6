"""One application for the tests of a module, and a tenant with documents for each test; no worker runs."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from api.app import create_app
from api.settings import ApiSettings
from schema.bootstrap import ensure_api_key
from schema.keys import new_api_key
from schema.rights import Role
from tests.api.conftest import calling, serving
from tests.api.documents.shelving import Person, Shelf
from tests.api.people import make_user
from tests.conftest import TestTenant
from tests.secret import VAULT
from workers.ports import Ports
from workers.storage.settings import StorageSettings

ROLES: dict[str, Role] = {"ada": "member", "bob": "member", "viewer": "viewer", "owner": "owner"}


@dataclass(frozen=True)
class Library:
    """The application, what it has open, and where it stores bytes."""

    http: httpx.AsyncClient
    ports: Ports
    folder: Path


@pytest.fixture(scope="module")
async def library(
    database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Library]:
    folder = tmp_path_factory.mktemp("files")
    settings = ApiSettings(
        database_url=database_url,
        redis_url=redis_url,
        vault=VAULT,
        storage=StorageSettings(folder=folder),
        embedders=("minilm", "ollama/bge-m3"),
    )
    app = create_app(settings)
    async with serving(app) as http:
        yield Library(http, app.state.resources.ports, folder)


@pytest.fixture
async def api(library: Library, tenant: TestTenant) -> AsyncIterator[httpx.AsyncClient]:
    """A client, signed in as a member's key that stands for the tenant."""
    async with calling(library.http, tenant.key) as client:
        yield client


@pytest.fixture
def shelf(library: Library, database_url: str, tenant: TestTenant) -> Shelf:
    """The documents of that tenant."""
    return Shelf(library.ports, database_url, library.folder, tenant)


@pytest.fixture
def people(database_url: str, tenant: TestTenant) -> dict[str, Person]:
    """Two members, a viewer and an owner of that tenant, each with a key of their own."""
    return {name: _person(database_url, tenant, name, role) for name, role in ROLES.items()}


@pytest.fixture
def client(api: httpx.AsyncClient, people: dict[str, Person]) -> httpx.AsyncClient:
    """The same application, called by an owner."""
    api.headers.update(people["owner"].headers)
    return api


def _person(database_url: str, tenant: TestTenant, name: str, role: Role) -> Person:
    user_id, key = make_user(database_url, tenant.id, role=role, password=None), new_api_key()
    with psycopg.connect(database_url) as db:
        ensure_api_key(db, tenant.id, key, name=name, role=role)
        db.execute("UPDATE api_keys SET user_id = %s WHERE tenant_id = %s AND name = %s", (user_id, tenant.id, name))
    return Person(user_id, {"Authorization": f"Bearer {key}"})

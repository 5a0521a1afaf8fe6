"""One application for the tests of a module, and a tenant with documents for each test; no worker runs."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psycopg
import pytest

from api.settings import ApiSettings
from schema.identity.api_keys import new_api_key
from schema.identity.rights import Role
from schema.installation.bootstrap import ensure_api_key
from tests.api.conftest import calling
from tests.api.documents.stored_documents import Person, Shelf
from tests.api.people import make_user
from tests.conftest import TestTenant
from workers.queue.job_core import JobCore

ROLES: dict[str, Role] = {"ada": "member", "bob": "member", "viewer": "viewer", "owner": "owner"}


@dataclass(frozen=True)
class Library:
    """The application, what it has open, and where it stores bytes."""

    http: httpx.AsyncClient
    core: JobCore
    folder: Path


@pytest.fixture(scope="module")
def settings(settings: ApiSettings) -> ApiSettings:
    return replace(settings, embedders=("minilm", "ollama/bge-m3"))


@pytest.fixture(scope="module")
def library(application: httpx.AsyncClient, folder: Path) -> Library:
    core = application._transport.app.state.resources.core
    return Library(application, core, folder)


@pytest.fixture
async def api(library: Library, tenant: TestTenant) -> AsyncIterator[httpx.AsyncClient]:
    """A client, signed in as a member's key that stands for the tenant."""
    async with calling(library.http, tenant.key) as client:
        yield client


@pytest.fixture
def shelf(library: Library, database_url: str, tenant: TestTenant) -> Shelf:
    """The documents of that tenant."""
    return Shelf(library.core, database_url, library.folder, tenant)


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

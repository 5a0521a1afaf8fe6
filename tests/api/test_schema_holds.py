"""The API answers as its OpenAPI document says, whatever it is sent: shapes, statuses, content types, headers, who is let in.

A run by default takes a sixth of the paths, which the seed of the order of tests chooses (`--randomly-seed=N`). It draws few
requests, tries an edge of a kind at each field (one wrong type of six), and asks each operation by one caller.
HEADRACE_TESTS=full takes all paths, draws 300 for each operation, tries all edges, and asks by both. A worker runs with a model
that answers at once, so every stream ends.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jsonschema_rs
import psycopg
import pytest

from schema.identity.api_keys import new_api_key
from schema.identity.rights import Role
from schema.installation.bootstrap import ensure_api_key
from schema.vault import PLATFORM
from tests.api.openapi_fuzzing import Findings, Share, explore
from tests.conftest import make_tenant
from tests.counterparts.openai.server import OpenAIServer
from tests.system import System

FULL = os.environ.get("HEADRACE_TESTS") == "full"
EXAMPLES = 300 if FULL else 1
REPEATS = None if FULL else 1
PARTS = 6
MAX_S = 1500 if FULL else 20
ADMINS = "^/api/admin"
ENDING = "^/(?!api/events)"
OTHERS = "^/(?!api/admin|api/events)"
"""The stream of what changes in a tenant never ends."""
ROLES = ("api", "chat", "default", "ingestion", "scheduler")
"""Every kind of job ends, since the stream of one that doesn't is followed until the request times out."""


@pytest.fixture(scope="module")
async def system(database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with OpenAIServer() as models:
        folder, settings = tmp_path_factory.mktemp("system"), {"HEADRACE_DEFAULT_MODEL": "openai/text-5"}
        made = System(database_url, redis_url, folder=folder, model_url=models.base_url, roles=ROLES, settings=settings)
        async with made as up:
            yield up


@pytest.mark.parametrize(("role", "paths"), [("owner", OTHERS), ("admin", ADMINS)])
async def test_whatever_is_sent_is_answered_as_the_document_says(
    system: System, database_url: str, role: Role, paths: str, pytestconfig: pytest.Config
) -> None:
    key, key_id = _key(database_url, role)
    share = Share() if FULL else Share(PARTS, int(pytestconfig.getoption("randomly_seed", 0)) % PARTS)
    found = await asyncio.to_thread(
        explore,
        system.url,
        key,
        key_id,
        paths=ENDING if FULL else paths,
        examples=EXAMPLES,
        most_s=MAX_S,
        repeats=REPEATS,
        share=share,
    )
    print(f"{role}, {share}: {found.cases} requests, {sorted(found.statuses().items())}")
    assert "" == found.report
    await _assert_telling(system, key, found)


async def _assert_telling(system: System, key: str, found: Findings) -> None:
    async with httpx.AsyncClient(base_url=system.url, headers={"Authorization": f"Bearer {key}"}) as http:
        assert 200 == (await http.get("/api/auth/me")).status_code
    assert found.is_telling, f"statuses {sorted(found.statuses())}; never done: {sorted(found.never_done)}"


def _key(database_url: str, role: Role) -> tuple[str, str]:
    """Make a key of this role and return it with its id."""
    key, tenant_id = new_api_key(), PLATFORM if role == "admin" else make_tenant(database_url).id
    with psycopg.connect(database_url) as db:
        ensure_api_key(db, tenant_id, key, name="explorer", role=role)
        row = db.execute("SELECT id FROM api_keys WHERE name = 'explorer' AND tenant_id = %s", (tenant_id,)).fetchone()
    assert row is not None
    return key, str(row[0])


LARGE = b'{"message": "' + b"x" * 1_000_001 + b'"}'
JSON, FORM = "application/json", "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("status", "method", "path", "content", "content_type"),
    [
        (404, "GET", "/api/nothing", b"", ""),
        (404, "GET", "/nothing", b"", ""),
        (404, "POST", "/api/jobs/x/y/z", b"{}", JSON),
        (404, "GET", "/schema/nothing", b"", ""),
        (404, "GET", "/schema/nothing.json", b"", ""),
        (404, "GET", "/.well-known/nothing", b"", ""),
        (404, "GET", "/health/nothing", b"", ""),
        (404, "GET", "/api/jobs/%00", b"", ""),
        (400, "GET", "/health/live?x=%00", b"", ""),
        (405, "PATCH", "/api/chat", b"", ""),
        (405, "DELETE", "/api/jobs", b"", ""),
        (405, "PUT", "/health", b"", ""),
        (405, "TRACE", "/api/chat", b"", ""),
        (405, "POST", "/schema", b"{}", JSON),
        (413, "POST", "/api/chat", LARGE, JSON),
        (413, "POST", "/api/auth/login", LARGE, JSON),
        (415, "POST", "/api/chat", b"message=hi", FORM),
        (415, "POST", "/api/sessions", b"title=hi", FORM),
        (404, "GET", "/v1", b"", ""),
        (404, "GET", "/v1/nothing", b"", ""),
        (405, "GET", "/v1/chat/completions", b"", ""),
        (405, "TRACE", "/v1/models", b"", ""),
        (413, "POST", "/v1/chat/completions", LARGE, JSON),
        (415, "POST", "/v1/chat/completions", b"model=auto", FORM),
        (400, "GET", "/v1/models?x=%00", b"", ""),
    ],
)
async def test_what_no_operation_answers_has_the_shape_of_its_part_of_the_api_too(
    api: httpx.AsyncClient, status: int, method: str, path: str, content: bytes, content_type: str
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await api.request(method, path, content=content, headers=headers)
    openai = path.startswith("/v1")
    assert (status, JSON if openai else "application/problem+json") == (
        answer.status_code,
        answer.headers["content-type"],
    )
    assert status != 405 or answer.headers["allow"]
    document = (await api.get("/schema/openapi.json")).json()
    _assert_shaped(answer.json(), "OpenAIErrorOut" if openai else "ProblemOut", document)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/sessions", "GET, OPTIONS, POST"),
        ("/api/jobs/019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1e", "DELETE, GET, OPTIONS"),
        ("/v1/models", "GET, OPTIONS"),
    ],
)
async def test_options_tells_all_methods_of_a_path(api: httpx.AsyncClient, path: str, methods: str) -> None:
    answer = await api.options(path)
    assert (204, methods) == (answer.status_code, answer.headers["allow"])


async def test_a_body_that_may_be_left_out_may_be_left_out(api: httpx.AsyncClient) -> None:
    document = (await api.get("/schema/openapi.json")).json()
    assert not document["paths"]["/api/sessions"]["post"]["requestBody"].get("required")
    assert document["paths"]["/api/chat"]["post"]["requestBody"]["required"]
    assert 201 == (await api.post("/api/sessions")).status_code


async def test_an_export_names_its_charset_once(api: httpx.AsyncClient) -> None:
    session_id = (await api.post("/api/sessions")).json()["id"]
    answer = await api.get(f"/api/sessions/{session_id}/export", params={"format": "markdown"})
    assert "text/markdown; charset=utf-8" == answer.headers["content-type"]


async def test_text_of_a_completion_needs_its_type_where_nothing_else_is_taken(api: httpx.AsyncClient) -> None:
    body: dict[str, Any] = {"model": "auto", "messages": [{"role": "system", "content": [{"text": "x"}]}]}
    answer = await api.post("/v1/chat/completions", json=body)
    assert (400, "messages[0].content[0].type") == (answer.status_code, answer.json()["error"]["param"])


def _assert_shaped(body: Any, name: str, document: dict[str, Any]) -> None:
    shape = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    errors = [error.message for error in jsonschema_rs.Draft202012Validator(shape).iter_errors(body)]
    assert [] == errors

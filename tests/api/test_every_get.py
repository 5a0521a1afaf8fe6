"""Every GET of the API answers 2xx or 404: on a fresh demo, and for a tenant that has one of everything.

Path parameters are filled from the lists that the API itself gives; where a list is empty, with something that doesn't exist.
"""

import re
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from api.local.demo.agents import ensure_demo_agents
from schema.identity.api_keys import new_api_key
from schema.installation.bootstrap import ensure_api_key, ensure_demo_tenant
from tests.api.conftest import calling
from tests.isolation.two_tenants import Holder

MAX_EACH = 25
LEFT_OUT = ("/api/auth/oidc/{tenant}/{provider}", "/api/events")
"""Sign-in asks the tenant's identity provider, and a stream of changes never ends; these routes have tests of their own."""

LISTS = {
    "tenant": ("/api/admin/tenants", "slug"),
    "message_id": ("/api/sessions/{session_id}/messages", "id"),
    "user_id": ("/api/users", "id"),
}
"""Where a parameter's values are listed, if it isn't at the path before it."""

UNKNOWN = {"/api/admin/models/": "openai/no-such-model"}
"""What names nothing, where an id could not be a name."""

PERSONAL = ("/api/users/me/export", "/api/usage/me", "/api/memories")
"""For people who are signed in; a key is nobody's, and is refused."""

NAMES = ("id", "name", "slug")


class Caller:
    """Asks with the keys of an owner and of the platform's admin, and keeps what the lists said."""

    def __init__(self, owner: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
        self._callers = {"owner": owner, "admin": admin}
        self._lists: dict[str, list[dict[str, Any]]] = {}

    async def statuses(self, path: str) -> dict[str, int]:
        return {name: (await client.get(path)).status_code for name, client in self._callers.items()}

    async def items(self, path: str) -> list[dict[str, Any]]:
        if path not in self._lists:
            self._lists[path] = []
            for client in self._callers.values():
                answer = await client.get(path, params={"limit": MAX_EACH})
                if answer.status_code == 400:  # a list without pages
                    answer = await client.get(path)
                if answer.status_code == 200:
                    body = answer.json()
                    found = body if isinstance(body, list) else body.get("items") or body.get("data") or []
                    self._lists[path] += found
        return self._lists[path]

    async def filled(self, path: str) -> list[str]:
        """The path with its parameters filled, once for each thing that there is."""
        parameter = re.search(r"\{(\w+)(:\w+)?\}", path)
        if parameter is None:
            return [path]
        listed, field = LISTS.get(parameter[1], (path[: parameter.start()].rstrip("/"), ""))
        values: list[str] = []
        for each in (await self.filled(listed))[:MAX_EACH]:
            values += [_name(item, field) for item in await self.items(each) if _may_be_read(path, item)]
        values = values or [UNKNOWN.get(path[: parameter.start()], str(uuid4()))]
        return [
            done
            for value in dict.fromkeys(values[:MAX_EACH])
            for done in await self.filled(path.replace(parameter[0], value, 1))
        ]


def _name(item: dict[str, Any], field: str) -> str:
    return str(item[field] if field else next(item[name] for name in NAMES if name in item))


def _may_be_read(path: str, item: dict[str, Any]) -> bool:
    """The events of a job that nobody works on have no end."""
    return not path.endswith("/events") or item["state"] in ("succeeded", "failed", "cancelled")


@pytest.fixture
def demo(database_url: str) -> str:
    """The demo as `up` leaves it; its key."""
    key = new_api_key()
    ensure_demo_tenant(database_url, key)
    ensure_demo_agents(database_url, "http://127.0.0.1:9")
    return key


@pytest.fixture
def full(database_url: str) -> str:
    """A tenant that has one of everything; an owner's key."""
    key = new_api_key()
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as db:
        holder = Holder.of_new_tenant(db, "b")
        holder.everything()
    with psycopg.connect(database_url) as db:
        ensure_api_key(db, holder.tenant_id, key, name="owner", role="owner")
    return key


@pytest.mark.parametrize("world", ["demo", "full"])
async def test_every_get_answers_2xx_or_404(
    world: str, application: httpx.AsyncClient, admin: httpx.AsyncClient, request: pytest.FixtureRequest
) -> None:
    key = request.getfixturevalue(world)
    document = (await application.get("/schema/openapi.json")).json()
    gets = {path: methods["get"] for path, methods in document["paths"].items() if "get" in methods}
    assert len(gets) > 50
    async with calling(application, key) as owner:
        caller = Caller(owner, admin)
        wrong = [
            f"{path}: {statuses}"
            for template, operation in gets.items()
            if not template.startswith(LEFT_OUT) and template not in PERSONAL and not _asks_for_more(operation)
            for path in await caller.filled(template)
            if not _is_right(operation, statuses := await caller.statuses(path))
        ]
    assert "" == "\n".join(wrong)


def _asks_for_more(operation: dict[str, Any]) -> bool:
    """Whether a query parameter must be sent."""
    return any(one.get("required") and one.get("in") == "query" for one in operation.get("parameters", ()))


def _is_right(operation: dict[str, Any], statuses: dict[str, int]) -> bool:
    """Whether somebody gets an answer or is told that there is none, and all others are refused as documented."""
    answered = [status for status in statuses.values() if 200 <= status < 300 or status == 404]
    refused = set(statuses.values()) - set(answered)
    if operation["operationId"] == "getJobTrace":  # a job that hasn't ended has none yet, which is a conflict
        answered += [status for status in refused if status == 409]
        refused -= {409}
    if any(
        parameter.get("required") and parameter.get("in") == "query" for parameter in operation.get("parameters", ())
    ):
        answered += [status for status in refused if status == 400]  # it is asked without
        refused -= {400}
    by_health = operation["operationId"] in ("getReadiness", "getHealth") and set(statuses.values()) == {503}
    return by_health or (bool(answered) and refused <= {401, 403, 422} & {int(code) for code in operation["responses"]})

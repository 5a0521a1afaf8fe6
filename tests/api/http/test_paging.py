"""Cursors of lists: each is good for the list that gave it, and for no other."""

import re
from itertools import permutations
from typing import Any

import httpx
import psycopg
from litestar.handlers import HTTPRouteHandler
from psycopg.rows import dict_row

from api.auth.principals import is_ours
from schema.identity.api_keys import new_api_key
from schema.ids import new_id
from schema.installation.bootstrap import ensure_api_key
from schema.vault import PLATFORM
from tests.api.conftest import calling
from tests.api.test_every_get import Caller
from tests.isolation.two_tenants import Holder
from tests.openapi_document import documented_app


def two_of_everything(database_url: str) -> str:
    """Make a tenant that has at least two things in each list; return an owner's key."""
    key = new_api_key()
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as db:
        holder = Holder.of_new_tenant(db, "b")
        holder.everything()
        for kind in ("session", "user", "key", "pipeline", "document", "ended job", "actor", "actor"):
            holder.new(kind)
        for make in (holder.agent, holder.tool, holder.data_source):
            make("first")
            make("second")
    with psycopg.connect(database_url) as db:
        for _ in range(2):
            entry = {"actor": "system", "action": "a.b", "target": "", "result": "ok"}
            db.execute(
                "INSERT INTO audit_log (tenant_id, id, actor, action, target, result) VALUES (%s, %s, %s, %s, %s, %s)",
                (PLATFORM, new_id(), *entry.values()),
            )
        ensure_api_key(db, holder.tenant_id, key, name="owner", role="owner")
        ensure_api_key(db, holder.tenant_id, new_api_key(), name="second", role="owner")
    return key


async def test_a_cursor_of_one_list_is_refused_by_every_other(
    database_url: str, application: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    document = (await application.get("/schema/openapi.json")).json()
    templates = [path for path, methods in document["paths"].items() if _is_paged(methods.get("get", {}))]
    pages: dict[str, dict[str, Any]] = {}
    async with calling(application, two_of_everything(database_url)) as owner:
        caller = Caller(owner, admin)
        for path in [path for template in templates for path in await caller.filled(template)]:
            for client in (owner, admin):
                answer = await client.get(path, params={"limit": 1})
                if answer.status_code == 200 and answer.json()["next_cursor"]:
                    pages.setdefault(path, answer.json() | {"client": client})
        wrong = [
            f"{path} accepts the cursor of {other}"
            for path, other in permutations(pages, 2)
            if _list_of(path) != _list_of(other) and await _accepts(path, pages[path], pages[other])
        ]
    assert len(pages) > 12
    assert [] == wrong


def _list_of(path: str) -> str:
    """Return what is the same for a tenant's owner and for an admin, who have the same list at different paths."""
    return re.sub(r"/admin/(tenants/[^/]+|knowledge)/|/auth/", "/", path)


def _is_paged(operation: dict[str, Any]) -> bool:
    return any(parameter.get("name") == "cursor" for parameter in operation.get("parameters", ()))


async def _accepts(path: str, page: dict[str, Any], other: dict[str, Any]) -> bool:
    answer = await page["client"].get(path, params={"cursor": other["next_cursor"]})
    refusal = "cursor is of another list. Send the next_cursor of the previous page of this one, or omit it "
    return answer.status_code != 400 or not answer.json()["detail"].startswith(refusal)


def test_every_list_has_a_next_cursor() -> None:
    lists = [
        handler.parsed_fn_signature.return_type.annotation
        for route in documented_app().routes
        for handler in getattr(route, "route_handlers", ())
        if isinstance(handler, HTTPRouteHandler) and is_ours(handler) and "GET" in handler.http_methods
    ]
    fields = {shape: getattr(shape, "__struct_fields__", ()) for shape in lists}
    without = {shape.__name__ for shape, names in fields.items() if "items" in names and "next_cursor" not in names}
    assert {"DatasetOut"} == without, "a dataset has its questions whole"

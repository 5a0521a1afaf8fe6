"""Runs a tool once, for real, with sample arguments, so that an admin sees the request and what came back (A9).

Through the same call and the same guard as in a job, with the caller's own token. What only a worker has (vectors, memories,
documents) is not there, and a tool that needs it says so.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec
from litestar import Router, post
from litestar.params import FromPath, JSONBody

from api.admin.data_sources import open_source
from api.admin.known_tools import NO_TOOL, granted_builtin_tools
from api.admin.own_rows import require_name
from api.admin.tool_secrets import open_secrets
from api.errors import problems
from api.principals import MayManageTools, Principal
from api.resources import Opened, Resources
from schema.errors import HeadraceError, InputError, NotFound, SecretUnreadable
from schema.ids import new_id
from schema.queries.audit import add_audit
from schema.queries.data_sources import find_data_source
from schema.queries.tools import find_tool
from tools.calling import call_tool
from tools.configured import ToolDefinition, build_tool
from tools.configured.headers import HIDDEN, LEAST, TELLING, hide
from tools.contract import MAX_BYTES, FunctionTool, Tool, ToolContext, ToolResult
from tools.data_source import DataSource
from tools.egress import open_client

MAX_SHOWN = 10 * 1024
"""How much of a request's body is shown, in bytes."""


class ToolTestIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the tool is called with."""

    arguments: dict[str, Any] = {}


class ToolRequestOut(msgspec.Struct, frozen=True, kw_only=True):
    """The last request that the tool sent, without secrets. `status` is what came back, null where nothing did; `body` is
    shown where it is JSON."""

    method: str
    url: str
    body: Any = None
    status: int | None = None


class ToolErrorOut(msgspec.Struct, frozen=True, kw_only=True):
    """Why a tool failed, as the model would read it."""

    code: str
    message: str
    field: str | None = None


class ToolTestOut(msgspec.Struct, frozen=True, kw_only=True):
    """How a try of a tool went. `text` is what a model would read, `data` what programs get, each up to 100 KB."""

    ok: bool
    text: str = ""
    data: Any = None
    renderer: str | None = None
    truncated: bool = False
    duration_ms: int
    request: ToolRequestOut | None = None
    error: ToolErrorOut | None = None


class Witness:
    """Remembers the last request of a client, without headers."""

    def __init__(self) -> None:
        self.request: httpx2.Request | None = None
        self.status: int | None = None

    async def sent(self, request: httpx2.Request) -> None:
        """A hook for requests."""
        self.request, self.status = request, None

    async def answered(self, response: httpx2.Response) -> None:
        """A hook for responses."""
        self.status = response.status_code

    def told(self, words: Sequence[str]) -> ToolRequestOut | None:
        """Return what was sent, with `words` hidden."""
        if self.request is None:
            return None
        url = hide(_plain_url(self.request.url), [*words, *(quote(word, safe="") for word in words)])
        return ToolRequestOut(
            method=self.request.method, url=url, body=hide(_body(self.request), words), status=self.status
        )


@post("/{name:str}/test", status_code=200, responses=problems("not_found"), summary="Try a tool")
async def test_tool(
    name: FromPath[str],
    principal: MayManageTools,
    resources: Opened,
    data: JSONBody[ToolTestIn | None] = None,  # noqa: PT028
) -> ToolTestOut:
    """Run a tool once, for real, with these arguments and your own token: also one that is switched off, and one with side
    effects. 200 also when it fails."""
    try:
        subject = await _subject(resources, principal, name)
    except (SecretUnreadable, InputError) as error:
        return ToolTestOut(ok=False, duration_ms=0, error=_error(error, ()))
    tried = await _try(resources, principal, subject, (data or ToolTestIn()).arguments)
    code = tried.error.code if tried.error else None
    async with principal.tx(resources.ports.pool) as db:
        await add_audit(
            db,
            principal.tenant_id,
            actor=principal.actor,
            action="tool.tested",
            target=name,
            result="failed" if code else "ok",
            address=principal.address,
            request_id=principal.request_id,
            detail={"duration_ms": tried.duration_ms, "code": code},
        )
    return tried


@dataclass(frozen=True)
class Subject:
    """The tool that is tried. Where a shared one calls is the platform's own business, so that is not shown."""

    tool: Tool
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    shows_request: bool = True


async def _subject(resources: Resources, principal: Principal, name: str) -> Subject:
    require_name(name, NO_TOOL)
    async with principal.tx(resources.ports.pool) as db:
        row = await find_tool(db, principal.tenant_id, name)
        code = await granted_builtin_tools(db, principal) if row is None else {}
    if row is not None:
        secrets = open_secrets(resources.vault, row)
        definition = msgspec.convert(row["definition"], ToolDefinition)
        return Subject(build_tool(definition, secrets=secrets), secrets, shows_request=row["own"])
    if name not in code:
        raise NotFound(NO_TOOL)
    return Subject(code[name])


async def _try(resources: Resources, principal: Principal, subject: Subject, arguments: dict[str, Any]) -> ToolTestOut:
    """Call the tool and return what came of it. None of its secrets is in it, nor the caller's token."""
    tool, secrets = subject.tool, subject.secrets
    bounded = FunctionTool(replace(tool.spec, max_bytes=min(tool.spec.max_bytes, MAX_BYTES)), tool.run)
    call_id, witness, begun_at = new_id(), Witness(), time.perf_counter()
    token = principal.token or await resources.tokens.issue_for_tools(principal, call_id)
    words = [word for word in (*secrets.values(), token) if len(word) >= LEAST]
    async with open_client(resources.settings.egress) as fetch:
        fetch.event_hooks = {"request": [witness.sent], "response": [witness.answered]}
        context = _context(resources, principal, fetch, token, str(call_id))
        try:
            found = _answer(await call_tool(bounded, arguments, context), words)
        except HeadraceError as error:
            found = {"ok": False, "error": _error(error, words)}
    duration_ms = round((time.perf_counter() - begun_at) * 1000)
    return ToolTestOut(**found, duration_ms=duration_ms, request=witness.told(words) if subject.shows_request else None)


def _error(error: HeadraceError, words: Sequence[str]) -> ToolErrorOut:
    return ToolErrorOut(code=error.code, message=hide(error.message, words), field=error.field)


def _answer(result: ToolResult, words: Sequence[str]) -> dict[str, Any]:
    shown = {"renderer": result.renderer, "truncated": result.truncated}
    return {"ok": True, "text": hide(result.text, words), "data": hide(result.data, words), **shown}


def _context(
    resources: Resources, principal: Principal, fetch: httpx2.AsyncClient, token: str, call_id: str
) -> ToolContext:
    async def caller_token() -> str | None:
        return token

    async def open_database(name: str) -> DataSource:
        async with principal.tx(resources.ports.pool) as db:
            row = await find_data_source(db, principal.tenant_id, name)
        if row is None:
            raise NotFound(f"There is no data source {name[:80]!r} of your tenant.")
        return await open_source(resources, principal.tenant_id, row)

    return ToolContext(
        tenant_id=str(principal.tenant_id),
        user_id=str(principal.user_id or ""),
        job_id="",
        call_id=f"test:{call_id}",
        fetch=fetch,
        rights=frozenset({"admin"}) if principal.role == "admin" else frozenset(),
        caller_token=caller_token,
        open_database=open_database,
    )


def _plain_url(url: httpx2.URL) -> str:
    """The address without values that are called like secrets."""
    for name in {name for name, _ in url.params.multi_items() if TELLING.search(name)}:
        url = url.copy_set_param(name, HIDDEN)
    return str(url)


def _body(request: httpx2.Request) -> Any:
    if not request.headers.get("content-type", "").startswith("application/json"):
        return None
    try:
        content = request.content
        return msgspec.json.decode(content) if len(content) <= MAX_SHOWN else None
    except (httpx2.RequestNotRead, msgspec.DecodeError):
        return None


routes = Router("/admin/tools", route_handlers=[test_tool], tags=["tools"])

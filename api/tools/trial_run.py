"""Runs a tool once with sample arguments, so that an admin sees the request and the response.

It runs through the same call and the same egress guard as in a job, with the caller's own token. What only a worker has
(vectors, memories, documents) is missing, and a tool that needs it says so.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any
from urllib.parse import quote

import httpx2
import msgspec
from litestar import Router, post
from litestar.params import JSONBody
from msgspec import Meta

from api.auth.principals import MayManageTools, Principal
from api.grants.tenant_rows import require_name
from api.http.errors import problems
from api.openapi.operations import described
from api.resources import AppResources, Resources
from api.tools.data_sources import open_source
from api.tools.tool_catalog import NO_TOOL, ToolName, granted_builtin_tools
from api.tools.tool_secrets import open_secrets
from schema.errors import HeadraceError, InputError, NotFound, SecretUnreadable
from schema.ids import new_id
from schema.queries.agents.data_sources import find_data_source
from schema.queries.agents.tools import find_tool
from schema.queries.tenants.audit import add_audit
from tools.calling import call_tool
from tools.configured import ToolDefinition, build_tool
from tools.configured.headers import MIN_HIDDEN_LENGTH, REDACTED, SENSITIVE_NAME, redact
from tools.contract import MAX_BYTES, FunctionTool, Tool, ToolContext, ToolResult
from tools.data_source import DataSource
from tools.egress import open_client

MAX_SHOWN = 10 * 1024
"""Largest request body that is shown, in bytes."""


class ToolTestIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of a test call."""

    arguments: Annotated[dict[str, Any], Meta(description="Arguments of the call, by name.")] = {}


class ToolRequestOut(msgspec.Struct, frozen=True, kw_only=True):
    """The last HTTP request that the tool sent, with secrets masked."""

    method: Annotated[str, Meta(description="HTTP method.")]
    url: Annotated[str, Meta(description="URL with its query.")]
    body: Annotated[Any, Meta(description="Body, if it is JSON of up to 10 KB; null otherwise.")] = None
    status: Annotated[int | None, Meta(description="Status of the response; null if there was none.")] = None


class ToolErrorOut(msgspec.Struct, frozen=True, kw_only=True):
    """Why a tool call failed, as a model would read it."""

    code: Annotated[str, Meta(description="Stable error code.")]
    message: Annotated[str, Meta(description="What went wrong.")]
    field: Annotated[str | None, Meta(description="The argument or field at fault; null if none is.")] = None


class ToolTestOut(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a test call."""

    ok: Annotated[bool, Meta(description="Whether the call succeeded.")]
    text: Annotated[str, Meta(description="Output as a model reads it, up to 100 KB.")] = ""
    data: Annotated[Any, Meta(description="Output as programs read it, up to 100 KB; null if there is none.")] = None
    renderer: Annotated[str | None, Meta(description="Display hint of the output; null if there is none.")] = None
    truncated: Annotated[bool, Meta(description="Whether the output was cut off.")] = False
    duration_ms: Annotated[int, Meta(description="How long the call took, in milliseconds.")]
    request: Annotated[
        ToolRequestOut | None, Meta(description="The request it sent; null if it sent none, or if the tool is shared.")
    ] = None
    error: Annotated[ToolErrorOut | None, Meta(description="Why it failed; null if it succeeded.")] = None


EXAMPLE = {
    "ok": True,
    "text": '{"sku": "CF-ROB-01", "HN01": 42}',
    "data": {"sku": "CF-ROB-01", "HN01": 42},
    "renderer": None,
    "truncated": False,
    "duration_ms": 84,
    "request": {"method": "GET", "url": "https://erp.example.com/stock/CF-ROB-01", "body": None, "status": 200},
    "error": None,
}


class CallRecorder:
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
        url = redact(_plain_url(self.request.url), [*words, *(quote(word, safe="") for word in words)])
        return ToolRequestOut(
            method=self.request.method, url=url, body=redact(_body(self.request), words), status=self.status
        )


@post(
    "/{name:str}/test",
    status_code=200,
    opt=described(example={"arguments": {"sku": "CF-ROB-01"}}, response=EXAMPLE),
    responses=problems("not_found"),
    summary="Test a tool",
)
async def test_tool(
    name: ToolName,
    principal: MayManageTools,
    resources: AppResources,
    data: JSONBody[ToolTestIn | None] = None,  # noqa: PT028
) -> ToolTestOut:
    """Runs the tool once, for real, with these arguments and your own token, even if it is disabled or has side effects.
    Returns 200 even if the call fails; see `ok` and `error`."""
    try:
        subject = await _subject(resources, principal, name)
    except (SecretUnreadable, InputError) as error:
        return ToolTestOut(ok=False, duration_ms=0, error=_error(error, ()))
    tried = await _try(resources, principal, subject, (data or ToolTestIn()).arguments)
    code = tried.error.code if tried.error else None
    async with principal.tx(resources.core.pool) as db:
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
    """The tool under test. What a shared tool calls is the platform's own business, so it is not shown."""

    tool: Tool
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    shows_request: bool = True


async def _subject(resources: Resources, principal: Principal, name: str) -> Subject:
    require_name(name, NO_TOOL)
    async with principal.tx(resources.core.pool) as db:
        row = await find_tool(db, principal.tenant_id, name)
        code = await granted_builtin_tools(db, principal) if row is None else {}
    if row is not None:
        secrets = open_secrets(resources.vault, row)
        definition = msgspec.convert(row.definition, ToolDefinition)
        return Subject(build_tool(definition, secrets=secrets), secrets, shows_request=row.own)
    if name not in code:
        raise NotFound(NO_TOOL)
    return Subject(code[name])


async def _try(resources: Resources, principal: Principal, subject: Subject, arguments: dict[str, Any]) -> ToolTestOut:
    """Call the tool and return the result, without its secrets and the caller's token."""
    tool, secrets = subject.tool, subject.secrets
    bounded = FunctionTool(replace(tool.spec, max_bytes=min(tool.spec.max_bytes, MAX_BYTES)), tool.run)
    call_id, witness, begun_at = new_id(), CallRecorder(), time.perf_counter()
    token = principal.token or await resources.tokens.issue_for_tools(principal, call_id)
    words = [word for word in (*secrets.values(), token) if len(word) >= MIN_HIDDEN_LENGTH]
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
    return ToolErrorOut(code=error.code, message=redact(error.message, words), field=error.field)


def _answer(result: ToolResult, words: Sequence[str]) -> dict[str, Any]:
    shown = {"renderer": result.renderer, "truncated": result.truncated}
    return {"ok": True, "text": redact(result.text, words), "data": redact(result.data, words), **shown}


def _context(
    resources: Resources, principal: Principal, fetch: httpx2.AsyncClient, token: str, call_id: str
) -> ToolContext:
    async def caller_token() -> str | None:
        return token

    async def open_database(name: str) -> DataSource:
        async with principal.tx(resources.core.pool) as db:
            row = await find_data_source(db, principal.tenant_id, name)
        if row is None:
            raise NotFound(
                f"Your tenant has no data source {name[:80]!r}. GET /api/admin/data-sources lists its data sources."
            )
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
    """The URL without the values of parameters that are named like secrets."""
    for name in {name for name, _ in url.params.multi_items() if SENSITIVE_NAME.search(name)}:
        url = url.copy_set_param(name, REDACTED)
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

"""Runs a tool once with sample arguments, so that an admin can see the request and the response.

The call goes through the same code and egress guard as in a job, with the same token for the service. What only workers have
(vectors, memories, documents) is missing; a tool that needs it fails with an error that says so.
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
from api.jobs.submit import job_caller
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
from tools.configured import ToolDefinition, build_tool
from tools.configured.headers import MIN_HIDDEN_LENGTH, REDACTED, SENSITIVE_NAME, redact
from tools.contract import MAX_BYTES, FunctionTool, Tool, ToolContext, ToolResult
from tools.data_source import DataSource
from tools.egress import open_client
from tools.execution import call_tool
from workers.job_tokens import read_audience

MAX_SHOWN = 10 * 1024
"""Largest request body that is shown, in bytes."""


class ToolTestIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of a test call."""

    arguments: Annotated[
        dict[str, Any], Meta(description="Arguments of the call, by name.", extra={"max_bytes": 256 * 1024})
    ] = {}


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


TEST_RESULT_EXAMPLE = {
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
    """Records the last request of an HTTP client, without headers."""

    def __init__(self) -> None:
        self.request: httpx2.Request | None = None
        self.status: int | None = None

    async def on_request(self, request: httpx2.Request) -> None:
        """Hook for requests."""
        self.request, self.status = request, None

    async def on_response(self, response: httpx2.Response) -> None:
        """Hook for responses."""
        self.status = response.status_code

    def as_request(self, secret_values: Sequence[str]) -> ToolRequestOut | None:
        """Return the recorded request, with `secret_values` masked."""
        if self.request is None:
            return None
        url = redact(
            _masked_url(self.request.url), [*secret_values, *(quote(value, safe="") for value in secret_values)]
        )
        return ToolRequestOut(
            method=self.request.method, url=url, body=redact(_body(self.request), secret_values), status=self.status
        )


@post(
    "/{name:str}/test",
    status_code=200,
    opt=described(example={"arguments": {"sku": "CF-ROB-01"}}, response=TEST_RESULT_EXAMPLE),
    responses=problems("not_found"),
    summary="Test a tool",
)
async def test_tool(
    name: ToolName,
    principal: MayManageTools,
    resources: AppResources,
    data: JSONBody[ToolTestIn | None] = None,  # noqa: PT028
) -> ToolTestOut:
    """Runs the tool once, for real, with these arguments and on your behalf, even if it is disabled or has side effects.
    Returns 200 even if the call fails; see `ok` and `error`."""
    try:
        tool_under_test = await _load_subject(resources, principal, name)
    except (SecretUnreadable, InputError) as error:
        return ToolTestOut(ok=False, duration_ms=0, error=_error(error, ()))
    result = await _run(resources, principal, tool_under_test, (data or ToolTestIn()).arguments)
    code = result.error.code if result.error else None
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
            detail={"duration_ms": result.duration_ms, "code": code},
        )
    return result


@dataclass(frozen=True)
class ToolUnderTest:
    """The tool to test. The request of a shared tool is not shown: it is the platform's."""

    tool: Tool
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    shows_request: bool = True


async def _load_subject(resources: Resources, principal: Principal, name: str) -> ToolUnderTest:
    require_name(name, NO_TOOL)
    async with principal.tx(resources.core.pool) as db:
        row = await find_tool(db, principal.tenant_id, name)
        builtin_tools = await granted_builtin_tools(db, principal) if row is None else {}
    if row is not None:
        secrets = open_secrets(resources.vault, row)
        definition = msgspec.convert(row.definition, ToolDefinition)
        return ToolUnderTest(build_tool(definition, secrets=secrets), secrets, shows_request=row.own)
    if name not in builtin_tools:
        raise NotFound(NO_TOOL)
    return ToolUnderTest(builtin_tools[name])


async def _run(
    resources: Resources, principal: Principal, tool_under_test: ToolUnderTest, arguments: dict[str, Any]
) -> ToolTestOut:
    """Call the tool and return the result, with its secrets and the job token masked."""
    tool, secrets = tool_under_test.tool, tool_under_test.secrets
    bounded = FunctionTool(replace(tool.spec, max_bytes=min(tool.spec.max_bytes, MAX_BYTES)), tool.run)
    call_id, recorder, started = new_id(), CallRecorder(), time.perf_counter()
    secret_values = [value for value in secrets.values() if len(value) >= MIN_HIDDEN_LENGTH]
    async with open_client(await resources.egress.policy(principal.tenant_id, "tools")) as fetch:
        fetch.event_hooks = {"request": [recorder.on_request], "response": [recorder.on_response]}
        context = _context(resources, principal, fetch, secret_values, str(call_id))
        try:
            outcome = _success(await call_tool(bounded, arguments, context), secret_values)
        except HeadraceError as error:
            outcome = {"ok": False, "error": _error(error, secret_values)}
    duration_ms = round((time.perf_counter() - started) * 1000)
    return ToolTestOut(
        **outcome,
        duration_ms=duration_ms,
        request=recorder.as_request(secret_values) if tool_under_test.shows_request else None,
    )


def _error(error: HeadraceError, secret_values: Sequence[str]) -> ToolErrorOut:
    return ToolErrorOut(code=error.code, message=redact(error.message, secret_values), field=error.field)


def _success(result: ToolResult, secret_values: Sequence[str]) -> dict[str, Any]:
    shown = {"renderer": result.renderer, "truncated": result.truncated}
    return {"ok": True, "text": redact(result.text, secret_values), "data": redact(result.data, secret_values), **shown}


def _context(
    resources: Resources, principal: Principal, fetch: httpx2.AsyncClient, secret_values: list[str], call_id: str
) -> ToolContext:
    """Return the context of the call. Tokens that are used in it are added to `secret_values`."""
    caller = job_caller(resources, principal)

    async def job_token(url: str) -> str | None:
        secret_values.append(await resources.job_tokens.issue(caller, call_id, read_audience(url)))
        return secret_values[-1]

    async def provider_token() -> str | None:
        secret_values.extend([caller.provider_token] if caller.provider_token else [])
        return caller.provider_token

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
        rights=frozenset({"admin"}) if "tenants.manage" in principal.rights else frozenset(),
        job_token=job_token,
        provider_token=provider_token,
        open_database=open_database,
    )


def _masked_url(url: httpx2.URL) -> str:
    """Return a URL with the values of parameters masked that are named like secrets."""
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

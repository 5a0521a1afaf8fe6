"""What `docs/extending.md` adds, used. `test_extending.py` runs this in a copy of the repository that has the additions."""

import importlib
import tomllib
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from api.app import create_app
from api.openapi.events import describe_events
from api.settings import ApiSettings
from graphs.providers.contract import Finished, Message, ModelRequest, TextDelta, Usage
from graphs.providers.registry import build_provider
from graphs.providers.settings import ProviderSettings, resolve
from schema import events
from schema.job_kinds import KINDS
from schema.tables import TENANT_TABLES
from schema.tables.sessions.sessions import Session
from tests.secret import SECRET_KEY, VAULT
from tests.tools.tool_contexts import make_context
from tools.configured import ToolDefinition, build_tool, check_definition
from tools.egress import EgressPolicy
from tools.errors import ToolBadArguments
from tools.execution import call_tool
from tools.registry import builtin_tools
from workers.celery.app import build_app
from workers.celery.tasks import work_by_kind
from workers.limits.headers import POLICY_PARAMETERS
from workers.limits.limits import LimitPolicy
from workers.settings import settings_from

ROOT = Path(__file__).parents[2]
JOB = UUID("01900000-0000-7000-8000-000000000001")


@cache
def document() -> dict[str, Any]:
    settings = ApiSettings(database_url="postgresql://nowhere/x", redis_url="redis://nowhere/0", vault=VAULT)
    return create_app(settings).openapi_schema.to_schema()


def test_this_is_the_copy() -> None:
    assert (ROOT / "tools/registry.py").samefile(importlib.import_module("tools.registry").__file__ or "")


async def test_the_built_in_tool_answers_through_the_registry() -> None:
    tool = builtin_tools(plugins=False)["roman_numerals"]
    assert "MMXXVI" == (await call_tool(tool, {"number": 2026}, make_context())).text
    with pytest.raises(ToolBadArguments):
        await call_tool(tool, {"number": 4000}, make_context())


def test_the_plugin_adds_its_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if its package were installed."""
    folder = ROOT / "acme_headrace"
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    ((name, place),) = project["entry-points"]["headrace.tools"].items()
    metadata = folder / f"acme_headrace-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    (metadata / "entry_points.txt").write_text(f"[headrace.tools]\n{name} = {place}\n")
    monkeypatch.syspath_prepend(folder)
    assert {name} == builtin_tools().keys() - builtin_tools(plugins=False).keys()


async def test_the_configured_kind_answers() -> None:
    row = {"name": "greet", "kind": "TEXT", "description": "Greets", "config": {"text": "Hello {who}!"}}
    row["parameters"] = {"type": "object", "properties": {"who": {"type": "string"}}, "required": ["who"]}
    definition = msgspec.convert(row, ToolDefinition)
    check_definition(definition, EgressPolicy())
    assert "Hello Ada!" in (await build_tool(definition).run({"who": "Ada"}, make_context())).text


def test_the_vendor_is_configured_by_its_key() -> None:
    settings = ProviderSettings.from_env({"CEREBRAS_API_KEY": "csk-1"})
    assert "cerebras/llama" == str(resolve("cerebras/llama", settings))


async def test_the_provider_streams_its_own_protocol() -> None:
    async def generate(request: web.Request) -> web.Response:
        assert "Bearer k" == request.headers["Authorization"]
        return web.Response(body=b'{"text": "Hi"}\n{"text": " there"}\n{"in": 3, "out": 2}\n')

    app = web.Application()
    app.router.add_post("/generate", generate)
    async with TestServer(app) as server, ClientSession() as session:
        settings = ProviderSettings.from_env({"ACME_API_KEY": "k", "ACME_BASE_URL": str(server.make_url("/"))})
        provider = build_provider(settings.get_access("acme"), session, settings)
        request = ModelRequest(model="acme-large", messages=(Message.of("user", "hi"),))
        deltas = [delta async for delta in provider.stream(request)]
    assert [TextDelta("Hi"), TextDelta(" there"), Finished("stop", Usage(3, 2))] == deltas


def test_the_setting_is_read() -> None:
    env = {"HEADRACE_DATABASE_URL": "postgresql://x/x", "HEADRACE_REDIS_URL": "redis://x/0", "HEADRACE_READERS": "5"}
    assert 5 == settings_from(env | {"HEADRACE_SECRET_KEYS": SECRET_KEY}).readers


def test_the_event_is_published_read_and_documented() -> None:
    event = events.WordsCounted(words=120)
    (frame,) = events.read_frames(events.encode_frame(event, JOB, 1, "2026-01-31T12:00:00.123Z"))
    assert ("words.counted", event) == (frame.type, events.decode_event(frame))
    schemas = document()["components"]["schemas"]
    assert "words.counted" in schemas["JobEvent"]["discriminator"]["mapping"]
    assert "`words.counted`" in describe_events()


def test_the_kind_of_job_has_its_route_and_its_task() -> None:
    operation = document()["paths"]["/api/word-counts"]["post"]
    assert {"200", "202", "404"} <= operation["responses"].keys()
    assert KINDS["word_count"].task in build_app("redis://127.0.0.1:1/0").tasks
    assert "word_count" in work_by_kind()


def test_the_column_is_in_the_table_and_on_the_wire() -> None:
    assert "channel" in Session.metadata.tables["sessions"].columns
    schemas = document()["components"]["schemas"]
    for name in ("SessionIn", "SessionOut", "SessionExportOut"):
        assert "channel" in schemas[name]["properties"]


def test_the_table_is_one_of_tenants() -> None:
    assert "bookmarks" in {table.__tablename__ for table in TENANT_TABLES}


def test_the_window_is_announced_and_can_be_set() -> None:
    assert ";w=3600" == POLICY_PARAMETERS["requests_hour"]
    assert {"requests_hour": 5} == LimitPolicy(requests_per_hour=5).limits
    assert "requests_per_hour" in document()["components"]["schemas"]["LimitsIn"]["properties"]

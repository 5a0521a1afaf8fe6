"""Tools of langchain-community: listed by the operator, called in processes of their own, kept to the egress policy."""

import inspect
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from structlog.testing import capture_logs

from tests.counterparts.echo_server import EchoServer
from tests.tools import failing_tools
from tests.tools.tool_contexts import call, failure, make_context
from tools.contract import Tool
from tools.egress import EgressPolicy
from tools.errors import ToolBadArguments, ToolFailed, ToolRefused, ToolTimeout
from tools.langchain.listing import SETTING, read_listed_tools
from tools.langchain.tools import langchain_tools
from tools.sandbox import unsupported_reason
from workers.settings import settings_from

PACKAGE = "langchain_community"
GET = {
    "class": f"{PACKAGE}.tools:RequestsGetTool",
    "timeout_s": 120,
    "arguments": {
        "requests_wrapper": {
            "class": f"{PACKAGE}.utilities:TextRequestsWrapper",
            "arguments": {"headers": {"Authorization": {"env": "SHOP_KEY"}}},
        },
        "allow_dangerous_requests": True,
    },
}
SLEEP = {"class": f"{PACKAGE}.tools:SleepTool", "timeout_s": 6}
STARTER = {"class": "tests.tools.program_starting_tool:ProgramStarter", "timeout_s": 120}
CHANGER = {"class": "tests.tools.file_changing_tool:FileChanger", "timeout_s": 120}
FAILING = {"class": "tests.tools.failing_tools:Failing", "timeout_s": 120}
MISSING = {"class": f"{PACKAGE}.tools:NoSuchTool"}


def listing(folder: Path, *tools: Any) -> dict[str, str]:
    file = folder / "langchain.json"
    file.write_text(json.dumps(tools))
    return {SETTING: str(file), "SHOP_KEY": "Bearer canary-4711"}


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tool]:
    env = listing(tmp_path_factory.mktemp("langchain"), GET, SLEEP, STARTER, CHANGER, FAILING, MISSING)
    return {tool.spec.name: tool for tool in langchain_tools(read_listed_tools(env))}


def reaching(*hosts: str, granted: bool = True) -> Callable[[], Awaitable[EgressPolicy]]:
    async def egress() -> EgressPolicy:
        policy = EgressPolicy(allowed_hosts=frozenset(hosts))
        return policy.for_tenant(hosts if granted else ())

    return egress


def test_a_class_says_its_name_description_and_parameters_and_one_that_is_missing_stops_nothing(tools):
    assert {"requests_get", "sleep", "starter", "changer", "failing"} == set(tools)
    spec = tools["sleep"].spec
    assert "sleep" in spec.description.lower()
    assert "sleep_time" in spec.parameters["properties"]
    assert spec.untrusted


async def test_a_call_reaches_what_the_tenant_was_granted_with_the_operators_secret(tools):
    async with EchoServer(200) as server:
        host = server.url.removeprefix("http://")
        found = await call(tools["requests_get"], make_context(egress=reaching(host)), url=f"{server.url}/orders")

    assert "canary-4711" in found.text  # the counterpart says what it was sent
    assert ["/orders"] == [record.path for record in server.requests]


async def test_a_private_host_that_was_not_granted_is_never_connected_to(tools):
    async with EchoServer(200) as server:
        host = server.url.removeprefix("http://")
        context = make_context(egress=reaching(host, granted=False))
        error = await failure(tools["requests_get"], context, url=f"{server.url}/orders")

    assert isinstance(error, ToolRefused)
    assert "127.0.0.1 may not be called" in error.message
    assert "canary" not in error.message
    assert not server.requests


async def test_a_name_that_resolves_to_this_machine_is_refused_like_its_address(tools):
    async with EchoServer(200) as server:
        error = await failure(tools["requests_get"], url=server.url.replace("127.0.0.1", "localhost"))

    assert isinstance(error, ToolRefused)
    assert not server.requests


async def test_a_tool_cannot_start_programs(tools, tmp_path: Path):
    made = tmp_path / "made"

    assert isinstance(await failure(tools["starter"], program=f"touch {made}"), ToolRefused)
    assert "made" not in os.listdir(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("kept", "other"):
        (tmp_path / name).write_text(f"precious {name}")
    (tmp_path / "empty").mkdir()
    return tmp_path


def state_of(folder: Path) -> list[Any]:
    return [
        (one.name, one.stat().st_mode, one.stat().st_mtime_ns, os.listxattr(one), one.is_file() and one.read_text())
        for one in sorted(folder.iterdir())
    ]


@pytest.mark.parametrize("way", ["write", "open_truncating", "remove", "mode"])
async def test_a_tool_that_would_change_a_file_is_refused_and_the_file_stays(tools, folder: Path, way: str):
    before = state_of(folder)

    refused = await failure(tools["changer"], folder=str(folder), way=way)

    assert isinstance(refused, ToolRefused)
    assert "Files can't be written or changed by this tool." == refused.message
    assert before == state_of(folder)


@pytest.mark.skipif(bool(unsupported_reason()), reason=unsupported_reason() or "supported")
async def test_no_way_to_change_files_works_in_python_or_beside_it(tools, folder: Path):
    before = state_of(folder)

    assert "" == (await call(tools["changer"], folder=str(folder))).text
    assert before == state_of(folder)


async def test_a_tool_may_write_to_nowhere(tools, folder: Path):
    assert "1" == (await call(tools["changer"], folder=str(folder), way="null")).text


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [
        ("its own", ToolFailed, "The tool failed (RuntimeError: the pump is off). Continue without it."),
        ("type", ToolFailed, "The tool failed (TypeError: the pump has no handle). Continue without it."),
        ("exit", ToolFailed, "The tool failed (SystemExit: the pump is gone). Continue without it."),
        ("value", ToolBadArguments, "The tool failed (ValueError: no such pump). Try other arguments"),
        ("said", ToolBadArguments, "The tool failed (ToolException: name a pump). Try other arguments"),
        ("no cache", ToolBadArguments, "The tool failed (ValueError: no such pump). Try other arguments"),
    ],
)
async def test_other_arguments_are_asked_for_only_where_they_may_help(tools, how: str, kind: type, said: str):
    error = await failure(tools["failing"], how=how)

    assert kind is type(error)
    assert error.message.startswith(said)


async def test_an_answer_that_is_no_json_is_told_as_text(tools):
    assert "{('a', 'b'): 1}" == (await call(tools["failing"], how="odd")).text


def test_each_entry_that_cannot_be_made_is_logged_by_its_name_with_its_own_reason(tmp_path: Path):
    kind = "tests.tools.failing_tools"
    env = listing(
        tmp_path,
        {"name": "refused", "class": f"{kind}:Calling"},
        {"name": "absent", "class": "acme_pumps:Pump"},
        {"name": "leaving", "class": f"{kind}:Leaving"},
        {"name": "keyed", "class": f"{kind}:Keyed", "arguments": {"key": {"env": "SHOP_KEY"}}},
        {"name": "pumps", "class": f"{kind}:Failing"},
    )
    with capture_logs() as logs:
        found = langchain_tools(read_listed_tools(env))

    assert ["pumps"] == [tool.spec.name for tool in found]
    reasons = {line["tool"]: line["reason"] for line in logs}
    assert "127.0.0.1 may not be called" in reasons["refused"]
    assert "ModuleNotFoundError: No module named 'acme_pumps'" == reasons["absent"]
    assert "SystemExit: no licence" == reasons["leaving"]
    assert reasons["keyed"].startswith("ValidationError: key: ")
    assert "canary" not in str(logs)


async def test_a_class_of_the_operators_own_lies_beside_the_list(tmp_path: Path):
    source = inspect.getsource(failing_tools)
    (tmp_path / "acme_pumps.py").write_text(source)
    (tmp_path / "json.py").write_text("raise RuntimeError('it hides an installed one')")
    (tool,) = langchain_tools(read_listed_tools(listing(tmp_path, {"class": "acme_pumps:Failing", "timeout_s": 120})))

    assert "the pump is off" in (await failure(tool, how="its own")).message


async def test_a_call_that_takes_too_long_is_ended(tools):
    assert isinstance(await failure(tools["sleep"], sleep_time=3600), ToolTimeout)


async def test_wrong_arguments_never_reach_the_process(tools):
    assert isinstance(await failure(tools["sleep"], sleep_time="a while"), ToolBadArguments)


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ({"class": "os:system"}, "Expected `array`"),
        ([{"class": "no class"}], "matching regex"),
        ([{"class": "a:B", "arguments": {"x": {"env": "NOT_SET"}}}], "NOT_SET is not set"),
        ([{"class": "a:B", "arguments": {"x": {"class": "a.b"}}}], "is no class; write module:Class"),
        ([{"class": "a:B", "secret": 1}], "unknown field"),
        ([{"class": "a:B", "timeout_s": 0}], ">= 1"),
        ([{"class": "a:B"}] * 65, "more than 64"),
        ([{"class": "a:B", "name": "a"}] * 2, "lists 'a' twice"),
        ([{"class": "a:B", "name": "mathematics"}], "'mathematics' is a built-in tool's name"),
        (
            [{"class": "c:D"}, {"name": "z", "class": "a:B", "arguments": {"x": {"env": "NO_"}}}],
            r"entry 2 \(z\): the set",
        ),
        ([{"class": "a:B", "arguments": {"x": {"env": "NO_"}}}], r"entry 1 \(a:B\): the set"),
    ],
)
def test_a_wrong_list_is_named_with_what_is_wrong(tmp_path: Path, listed: Any, said: str):
    env = listing(tmp_path)
    Path(env[SETTING]).write_text(json.dumps(listed))

    with pytest.raises(ValueError, match=said) as caught:
        read_listed_tools(env)
    assert SETTING in str(caught.value)


def test_a_list_that_is_not_there_stops_the_start(tmp_path: Path):
    with pytest.raises(ValueError, match="HEADRACE_LANGCHAIN_TOOLS is '/not/there'"):
        read_listed_tools({SETTING: "/not/there"})
    urls = {"HEADRACE_DATABASE_URL": "postgresql://u@h/d", "HEADRACE_REDIS_URL": "redis://h"}
    with pytest.raises(ValueError, match="HEADRACE_LANGCHAIN_TOOLS"):
        settings_from({**urls, SETTING: "/not/there", "HEADRACE_SECRET_KEYS": Fernet.generate_key().decode()})

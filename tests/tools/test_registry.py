"""The list of tools is whole, every tool of it is sound, and plugins can add to it but not break it."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tools.parameter_schema import check_schema
from tools.registry import builtin_tools

BUILTIN = Path(__file__).parents[2] / "tools" / "builtin"

PLUGIN = """
from tools.contract import FunctionTool, ToolResult, ToolSpec

async def answer(arguments, context):
    return ToolResult("42")

def named(name, **parameters):
    return FunctionTool(ToolSpec(name=name, description="", parameters={"type": "object", **parameters}), answer)

good = named("stock_price")
def made(): return named("made_by_a_function")
def taken(): return named("python")
def twice(): return named("stock_price")
def schemaless(): return named("schemaless", required="x")
def toolless(): return "a tool"
def broken(): raise RuntimeError("no database here")
"""


def test_every_file_of_a_builtin_tool_is_in_the_registry_under_its_name() -> None:
    files = {path.stem for path in BUILTIN.glob("*.py")} - {"__init__"}
    assert files == set(builtin_tools(plugins=False))


@pytest.mark.parametrize("name", sorted(builtin_tools(plugins=False)))
def test_every_builtin_tool_tells_the_model_what_it_takes(name: str) -> None:
    spec = builtin_tools(plugins=False)[name].spec
    check_schema(spec.parameters)
    assert name == spec.name
    assert len(spec.description) > 40
    assert spec.parameters["additionalProperties"] is False


def test_a_tool_that_brings_in_what_strangers_wrote_is_marked() -> None:
    trusted = {name for name, tool in builtin_tools(plugins=False).items() if not tool.spec.untrusted}
    assert {"mathematics", "python", "recall", "remember", "system_info", "world_time"} == trusted


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with entry points, good and bad."""
    (tmp_path / "acme_headrace_tools.py").write_text(PLUGIN)
    metadata = tmp_path / "acme_headrace_tools-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-headrace-tools\nVersion: 1.0\n")
    names = ["good", "made", "taken", "twice", "schemaless", "toolless", "broken", "missing"]
    lines = [f"{name} = acme_headrace_tools:{name}" for name in names] + ["away = acme_not_installed:tool"]
    (metadata / "entry_points.txt").write_text("[headrace.tools]\n" + "\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("plugins")
def test_plugins_add_tools_and_bad_ones_are_logged_and_left_out() -> None:
    with capture_logs() as logs:
        tools = builtin_tools()
    ours = builtin_tools(plugins=False)
    assert {"stock_price", "made_by_a_function"} == set(tools) - set(ours)
    assert ours["python"].spec is tools["python"].spec
    assert {
        ("tool_plugin_refused", "taken"),
        ("tool_plugin_refused", "twice"),
        ("tool_plugin_refused", "schemaless"),
        ("tool_plugin_refused", "toolless"),
        ("tool_plugin_broken", "broken"),
        ("tool_plugin_broken", "missing"),
        ("tool_plugin_broken", "away"),
    } == {(each["event"], each["plugin"]) for each in logs}


@pytest.mark.usefixtures("plugins")
def test_plugins_can_be_left_out() -> None:
    assert "stock_price" not in builtin_tools(plugins=False)

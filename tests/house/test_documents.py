"""The documents say what is there."""

import json
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from litestar.routes import HTTPRoute

from api.__main__ import COMMANDS
from api.http.error_catalog import CATALOG
from api.http.errors import documented_status
from api.openapi.events import describe_events
from schema.events import EVENTS
from tests.house.code_blocks import BLOCK
from tests.openapi_document import documented_app, openapi_document
from tools.configured.kinds import KINDS
from tools.errors import ToolFailed

ROOT = Path(__file__).parents[2]
PAGES = [f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = ("api", "workers", "graphs", "tools", "schema")
API_PAGE = ROOT / "docs" / "api.md"
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "DECISIONS.md", "CONTRIBUTING.md", "CHANGELOG.md", *PAGES)
SHORT = re.compile(r"`((?:\.\./)?[\w-][\w/-]*\.(?:py|lua|sql))`")
PATH = re.compile(
    r"`((?:api|workers|graphs|tools|schema|tests|docs)/[\w./-]+|[\w-]+\.(?:md|yaml|toml|txt)|\.env\.example|Procfile)`"
)


def prose(name: str) -> str:
    """A document without the blocks that add files: what they name isn't there yet (`test_extending.py`)."""
    return BLOCK.sub("", (ROOT / name).read_text())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_that_a_document_names_exists(name: str) -> None:
    paths = PATH.findall(prose(name))
    assert [] == [path for path in paths if not (ROOT / path.rstrip("/")).exists()]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_and_folder_that_a_document_names_in_short_exists(name: str) -> None:
    """Such as `jobs.py` in a column of `schema/tables/`."""
    named = re.findall(r"`([\w-][\w./-]*(?:/|\.py|\.lua|\.sql))`", (ROOT / name).read_text())
    assert [] == [short for short in named if not any(path.endswith(f"/{short}") for path in our_paths())]


def test_every_file_that_a_comment_or_docstring_names_exists() -> None:
    texts = {
        path: (ROOT / path.strip("/")).read_text() for path in our_paths() if path.endswith((".py", ".lua", ".sql"))
    }
    named = [(path, short) for path, text in texts.items() for short in SHORT.findall(text)]
    elsewhere = {"ollama/_types.py", "jobs.py"}  # of the package `ollama`; the example above
    assert [] == [
        (path, short)
        for path, short in named
        if short not in elsewhere and not any(ours.endswith(f"/{short.removeprefix('../')}") for ours in our_paths())
    ]


@cache
def our_paths() -> list[str]:
    folders = (ROOT / name for name in ("api", "workers", "graphs", "tools", "schema", "tests", "docs"))
    paths = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    return [f"/{path.relative_to(ROOT)}{'/' if path.is_dir() else ''}" for path in paths]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_that_a_document_names_exists(name: str) -> None:
    named = re.findall(r"\./headrace ([a-z][a-z-]*)", (ROOT / name).read_text())
    assert set() == set(named) - COMMANDS.keys()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_setting_that_a_document_names_exists(name: str) -> None:
    """Or is a variable that `./headrace env` prints."""
    named = re.findall(r"\b(?:HEADRACE|OLLAMA|OPENAI)_[A-Z_]*[A-Z]\b", prose(name))
    printed = re.findall(r'"([A-Z_]+)"', (ROOT / "api/cli/env.py").read_text())
    example = re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert set() == set(named) - {*printed, *example}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_route_that_a_document_names_exists(name: str) -> None:
    named = routes_named(prose(name))
    assert [] == [f"{method} {path}" for method, path in named if not is_served(method, path)]


def routes_named(text: str) -> list[tuple[str, str]]:
    """What begins with a root of ours, with the method in front of it if there is one; and what the README's `admin` calls."""
    path = r"(/(?:api|v1|health)\b[\w/{}$.-]*)"
    found = re.findall(rf"(?:\b(GET|POST|PUT|PATCH|DELETE) |(?<=[\s`(])|\$HEADRACE_URL){path}", text)
    found += [(verb, f"/api/admin/{rest}") for verb, rest in re.findall(r"^admin ([A-Z]+) (\S+)", text, re.MULTILINE)]
    return [(method, path.rstrip("/.")) for method, path in found]


def is_served(method: str, path: str) -> bool:
    """Whether a route fits: its parameters fit any part of the path, as a shell's variable fits any part of the route. A root
    alone is no route."""
    asked = path.split("/")
    fitting = [methods for route, methods in served().items() if fits(asked, route.split("/"))]
    return path in ("/api", "/v1") or any(method in ("", *methods) for methods in fitting)


def fits(asked: list[str], route: list[str]) -> bool:
    if route[-1].endswith(":path}"):
        asked = [*asked[: len(route) - 1], "/".join(asked[len(route) - 1 :])]
    pairs = zip(asked, route, strict=False)
    return len(asked) == len(route) and all(
        part == own or own.startswith("{") or part.startswith("$") for part, own in pairs
    )


@cache
def served() -> dict[str, set[str]]:
    """The methods of every route."""
    found: dict[str, set[str]] = {}
    for route in documented_app().routes:
        if isinstance(route, HTTPRoute):
            found.setdefault(route.path, set()).update(route.methods)
    return found


def test_the_readme_fits_on_a_few_screens() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_decisions_are_short_and_numbered_in_order() -> None:
    text = (ROOT / "DECISIONS.md").read_text()
    numbers = [int(number) for number in re.findall(r"^## (\d+)\. ", text, re.MULTILINE)]
    assert sorted(set(numbers)) == numbers  # with gaps, while branches have numbers of their own
    entries = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert [] == [entry.splitlines()[0] for entry in entries if len(entry.strip().splitlines()) > 21]


def test_every_event_is_in_the_documentation() -> None:
    table = describe_events()
    assert [] == [name for name in EVENTS if f"`{name}`" not in table]


def test_the_tables_of_events_and_errors_are_those_of_the_code() -> None:
    """After a change, write them anew with `python -m tests.house.test_documents`."""
    text = API_PAGE.read_text()
    assert {"| event |", "| code |", "| tool's code |"} <= {
        line[:15].split(" |")[0] + " |" for line in text.splitlines()
    }
    assert with_tables(text) == text


def with_tables(text: str) -> str:
    """Return the page with today's tables of events and errors in place of those that it has."""
    for table in (describe_events(), describe_errors(), describe_tool_errors()):
        head = re.escape(table.splitlines()[0])
        text = re.sub(rf"^{head}\n(?:\|.*\n)*", lambda _, table=table: f"{table}\n", text, flags=re.MULTILINE)
    return text


def describe_errors() -> str:
    """Return all error codes as a Markdown table, by status."""
    rows = sorted((documented_status(code), code, doc.when) for code, doc in CATALOG.items())
    return "\n".join(
        [
            "| code | status | meaning |",
            "|---|---|---|",
            *(f"| `{code}` | {status} | {when} |" for status, code, when in rows),
        ]
    )


def describe_tool_errors() -> str:
    """Return the error codes of tools as a Markdown table: each is a class, and its docstring the meaning."""
    classes = [ToolFailed, *(one for one in ToolFailed.__subclasses__() if one.__module__ == ToolFailed.__module__)]
    rows = {one.code: (one.__doc__ or "").split(".")[0] for one in reversed(classes) if "code" in vars(one)}
    return "\n".join(
        ["| tool's code | meaning |", "|---|---|", *(f"| `{code}` | {rows[code]} |" for code in sorted(rows))]
    )


def test_every_code_of_a_tool_is_a_class() -> None:
    """So that it is in the documentation."""
    texts = [path.read_text() for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    written = {code for text in texts for code in re.findall(r"\bcode ?= ?\"(tool_\w+)\"", text)}
    assert written == set(re.findall(r"`(tool_\w+)`", describe_tool_errors()))


def test_every_kind_of_configured_tool_is_explained() -> None:
    text = API_PAGE.read_text().partition("| kind |")[2].partition("\n\n")[0]
    assert set(KINDS) == set(re.findall(r"`([A-Z_]+)`", text))


def test_what_an_api_user_may_copy_is_json() -> None:
    blocks = re.findall(r"^```json\n(.*?)^```", API_PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        json.loads(block)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_body_that_a_document_sends_is_what_its_route_takes(name: str) -> None:
    text = (ROOT / name).read_text()
    for path, body in re.findall(r"\$HEADRACE_URL(/[\w/.-]+)(?:.|\\\n)*?-d '([^']*)'", text):
        jsonschema_rs.validate(body_schema(path), json.loads(body))


def body_schema(path: str) -> dict[str, Any]:
    """Return the schema of the body that a POST to `path` takes."""
    document = openapi_document()
    asked = path.split("/")
    (found,) = [
        item["post"]
        for route, item in sorted(document["paths"].items(), key=lambda pair: pair[0].count("{"))
        if "post" in item and fits(asked, re.sub(r"\{\w+\}", "{x}", route).split("/"))
    ][:1]
    return {**found["requestBody"]["content"]["application/json"]["schema"], "components": document["components"]}


def test_every_log_event_that_operators_are_told_of_is_logged() -> None:
    table = (ROOT / "docs/operations.md").read_text().partition("| this log event |")[2].partition("\n\n")[0]
    told = re.findall(r"^\| `(\w+)`", table, re.MULTILINE)
    sources = "".join(path.read_text() for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    assert told
    assert [] == [event for event in told if not re.search(rf"log\.\w+\(\s*\"{event}\"", sources)]


def test_the_layers_that_the_architecture_draws_are_those_that_are_checked() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    for contract in contracts:
        if "containers" in contract:
            place = {name: rank for rank, line in enumerate(contract["layers"]) for name in line.split(" : ")}
            row = re.search(rf"^\| `{contract['containers'][0]}/` \|[^|]*\|(.*)\|$", text, re.MULTILINE)
            assert row
            drawn = [name.removesuffix(".py") for name in re.findall(r"`([\w.]+)/?`", row[1])]
            assert drawn
            assert sorted(drawn, key=lambda name: place[name]) == drawn


def test_the_documents_name_no_machine() -> None:
    text = "".join((ROOT / name).read_text() for name in DOCUMENTS)
    assert [] == re.findall(r"/(?:work|home|root|tmp)/\S*", text)


if __name__ == "__main__":
    API_PAGE.write_text(with_tables(API_PAGE.read_text()))

"""What stands in a list somewhere fails here when its line is forgotten: events, routes,
providers, kinds of job, columns of sessions, settings."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from api import app
from api.tenants.schemas import LimitsIn, LimitsOut
from api.users.privacy_schemas import UserExportOut
from graphs.providers.native import NATIVE
from schema import events, job_kinds
from schema.identity.tenancy import TenantSnapshot
from schema.installation.settings_check import DEVELOPMENT, SCRIPT
from schema.queries.identity import privacy
from schema.queries.sessions import session_forks
from schema.queries.tenants.tenants import Tenant
from schema.tables.benchmarks import Benchmark
from schema.tables.schedules import Schedule
from schema.tables.sessions.sessions import Message, Session
from schema.tables.triggers import Trigger
from schema.tables.webhooks import WebhookDelivery
from schema.vault import PLATFORM
from workers.celery.app import build_app
from workers.celery.tasks import work_by_kind
from workers.limits import headers, limits, rates
from workers.limits.reservation import limit_policy

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("api", "workers", "graphs", "tools", "schema")

Table = type[Session | Message | Schedule | Trigger | WebhookDelivery | Benchmark]

OF_A_VISITOR = ("widget_id", "visit_digest")
NOT_COPIED: dict[str, dict[str, str]] = {
    "sessions": {
        "created_at": "a fork is made when it is made",
        "updated_at": "and used then for the first time",
        "pinned_at": "the old one stays on top",
        "shared_at": "who may read the old one is not asked about the new one",
        **dict.fromkeys(OF_A_VISITOR, "a fork is its maker's, not the visitor's"),
    },
    "messages": {},
}
OF_A_TEMPLATE = ("tenant_id", "user_id", "created_by", "issuer", "compiled")
NOT_EXPORTED: dict[str, dict[str, str]] = {
    "sessions": {
        "tenant_id": "the export is of one tenant",
        "user_id": "the export is of one person, whom its head names",
        "summary": "made from the messages, which are exported, for the model only",
        "summary_turn": "how far the summary goes",
        **dict.fromkeys(OF_A_VISITOR, "of strangers' conversations, which are no person's"),
    },
    "messages": {
        "tenant_id": "the export is of one tenant",
        "detail": "passages of documents, and notices of the installation",
    },
    "schedules": dict.fromkeys(OF_A_TEMPLATE, "its row's, or made from what is exported"),
    "triggers": {
        **dict.fromkeys(OF_A_TEMPLATE, "its row's, or made from what is exported"),
        "sealed": "a secret",
        "key_id": "which key has sealed it",
    },
    "webhook_deliveries": {
        **dict.fromkeys(("tenant_id", "user_id"), "whose the export is"),
        **dict.fromkeys(("lane", "sequence", "attempt", "tries", "next_at"), "how it is sent"),
        **dict.fromkeys(("lease_owner", "lease_until", "last_error"), "how it is sent"),
    },
    "benchmarks": dict.fromkeys(("tenant_id", "user_id"), "whose the export is"),
}
SETTING = r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+"
NOT_SETTINGS = (
    "NO_COLOR",  # a convention of terminals
    "AWS_",  # of AWS's own tools, where HEADRACE_S3_… is not set
    *DEVELOPMENT,  # how much of the test suite runs, and such
    *SCRIPT,  # what commands are told by the script in front of them
)


def test_every_event_is_in_the_list_of_events() -> None:
    assert concrete(events.Event) == set(events.EVENTS.values())
    assert all(name == event.type for name, event in events.EVENTS.items())


def concrete(kind: type) -> set[type]:
    """The subclasses that are told to clients, at any depth; tests may make more."""
    below = {one for one in kind.__subclasses__() if not one.__module__.startswith("tests.")}
    return {one for one in below if "type" in one.__dict__}.union(*map(concrete, below))


def test_every_module_with_routes_is_registered() -> None:
    registered = [id(routes) for routes in (*app.NATIVE, *app.OPENAI, *app.ANTHROPIC, *app.ROOT)]
    modules = [importlib.import_module(name) for name in modules_with("routes")]
    assert len(modules) > 30
    assert [] == [module.__name__ for module in modules if id(module.routes) not in registered]
    assert len(registered) == len(set(registered))


def modules_with(name: str) -> Iterator[str]:
    for path in sorted((ROOT / "api").rglob("*.py")):
        for line in ast.parse(path.read_text()).body:
            targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_every_provider_is_in_the_list_of_those_with_a_protocol_of_their_own() -> None:
    folders = {path.parent.name for path in (ROOT / "graphs/providers").glob("*/provider.py")}
    assert folders == NATIVE.keys() | {"openai", "offline", "prompted_tools", "langchain"}


def test_every_kind_of_job_has_its_row_and_its_celery_task() -> None:
    tasks = build_app("redis://127.0.0.1:1/0").tasks
    assert list(get_args(job_kinds.Kind)) == list(job_kinds.KINDS) == list(work_by_kind())
    assert [] == [kind.task for kind in job_kinds.KINDS.values() if kind.task not in tasks]


def test_a_rate_limit_is_a_field_wherever_a_tenants_limits_are() -> None:
    shapes = (limits.LimitPolicy, TenantSnapshot, Tenant, LimitsIn, LimitsOut)
    for window in limits.WINDOWS:
        assert [] == [shape.__name__ for shape in shapes if window.limit not in shape.__annotations__]
        assert f";w={window.seconds}" in headers.POLICY_PARAMETERS[window.name]
    fields = [window.limit for window in limits.WINDOWS]
    snapshot = TenantSnapshot(id=PLATFORM, slug="x", **dict.fromkeys(fields, 7))
    assert dict.fromkeys((window.name for window in limits.WINDOWS), 7) == limit_policy(snapshot).limits


def test_a_rate_of_reads_is_a_field_wherever_a_tenants_limits_are() -> None:
    shapes = (TenantSnapshot, Tenant, LimitsIn, LimitsOut)
    for rate in rates.RATES:
        assert [] == [shape.__name__ for shape in shapes if rate.limit not in shape.__annotations__]
        assert f";w={rate.seconds}" in headers.POLICY_PARAMETERS[rate.name]


def test_the_windows_of_rate_limits_stand_in_one_place() -> None:
    lua = {path.name: strip(path.read_text()) for path in limits.LUA.glob("*.lua")}
    code = lua | {Path(module.__file__).name: without_words(Path(module.__file__)) for module in (limits, headers)}
    found = {name: re.findall(r"(?<![\d.])(?:59|60|61|62)(?:000)?(?![\d.])", text) for name, text in code.items()}
    lengths = [str(window.seconds) for window in limits.WINDOWS if window.seconds == 60]
    assert {"limits.py": lengths} == {name: numbers for name, numbers in found.items() if numbers}


def strip(text: str) -> str:
    """Without Lua's comments."""
    return re.sub(r"--.*", "", text)


def without_words(path: Path) -> str:
    """A module without its comments and docstrings."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not is_text(line)] or [ast.Pass()]
    return ast.unparse(tree)


def is_text(line: ast.AST) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)


TABLES = pytest.mark.parametrize("table", [Session, Message], ids=lambda table: table.__tablename__)
COPIES = {"sessions": session_forks.COPY_SESSION, "messages": session_forks.COPY_MESSAGES}


@TABLES
def test_a_fork_copies_every_column(table: Table) -> None:
    name, columns = describe(table)
    copied = words(re.search(r"INSERT INTO \w+ \(([^)]+)\)", COPIES[name])[1])
    assert columns == copied | NOT_COPIED[name].keys()
    assert set() == copied & NOT_COPIED[name].keys()


@pytest.mark.parametrize(
    "table",
    [Session, Message, Schedule, Trigger, WebhookDelivery, Benchmark],
    ids=lambda table: table.__tablename__,
)
def test_an_export_shows_every_column(table: Table) -> None:
    name, columns = describe(table)
    shown = words(re.sub(r" ->> '\w+' AS \w+", "", privacy.PERSONAL_DATA[name].columns))
    assert columns == shown | NOT_EXPORTED[name].keys()
    assert set() == shown & NOT_EXPORTED[name].keys()


def test_an_erasure_takes_sessions_and_their_messages() -> None:
    """Rows are deleted whole, so no column can stay: sessions by their person, messages with their session."""
    assert [privacy.Erasure(privacy.WHERE_USER)] == list(privacy.PERSONAL_DATA["sessions"].erasures)
    (key,) = [key for key in Message.metadata.tables["messages"].foreign_keys if key.column.name == "id"]
    assert ("sessions", "CASCADE") == (key.column.table.name, key.ondelete)


def test_an_export_has_a_list_for_every_table_that_it_shows() -> None:
    assert set() == privacy.SECTIONS.keys() - set(UserExportOut.__struct_fields__)


def describe(table: Table) -> tuple[str, set[str]]:
    """A table's name and its columns."""
    name = str(table.__tablename__)
    return name, {column.name for column in table.metadata.tables[name].columns}


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def test_every_setting_is_in_the_example_and_every_example_is_read() -> None:
    example = (ROOT / ".env.example").read_text()
    read, named = set[str](), set[str]()
    for node in code():
        read |= {name for name in settings_read(node) if not name.startswith(NOT_SETTINGS)}
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            named.update(re.findall(SETTING, node.value))
    assert set() == {name for name in read if not re.search(rf"\b{name}\b", example)}
    assert set() == set(re.findall(rf"^#? ?({SETTING})=", example, re.MULTILINE)) - named


def code() -> Iterator[ast.AST]:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")] + [ROOT / "headrace"]
    for path in files:
        yield from ast.walk(ast.parse(path.read_text()))


def settings_read(node: ast.AST) -> list[str]:
    """What is read here from a mapping called `env`, `environ` …, and whatever is named with our prefix."""
    found: list[Any] = []
    match node:
        case ast.Call(func=ast.Attribute(value=source, attr="get"), args=[ast.Constant(value=name), *_]):
            found = [name] if is_environment(source) else []
        case ast.Call(args=[source, *names]) if is_environment(source):
            found = [name.value for name in names if isinstance(name, ast.Constant)]
        case ast.Subscript(value=source, slice=ast.Constant(value=name)):
            found = [name] if is_environment(source) else []
        case ast.Constant(value=str(text)):
            found = re.findall(r"\bHEADRACE_[A-Z0-9_]*[A-Z0-9]\b", text)
    return [name for name in found if isinstance(name, str) and re.fullmatch(SETTING, name)]


def is_environment(source: Any) -> bool:
    name = source.attr if isinstance(source, ast.Attribute) else getattr(source, "id", "")
    return name in ("env", "environ", "environment")

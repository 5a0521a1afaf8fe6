"""What was said, and every secret, stays where it belongs: unique strings are left everywhere in a whole running
headrace, on ways that succeed and that fail; then all that it wrote, told and kept is searched for them.
"""

import asyncio
import base64
import html
import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote_plus, urlsplit

import pytest
import structlog

from api.local.stores.local_stores import open_stores
from schema.installation.migrate import migrate
from schema.vault import new_secret_key
from tests.journeys.conftest import keep_commits
from tests.journeys.secrets.canaries import CanaryFinder
from tests.journeys.secrets.canary_walk import Vendor, Walk, make_walk
from tests.journeys.secrets.leak_search import (
    Monitor,
    Place,
    command_lines,
    core_limit,
    flower_pages,
    postgres_columns,
    redis_contents,
    redis_snapshot,
)
from tests.system import System
from workers.logs import configure_logging

ROLES = ("api", "chat", "scheduler", "flower")
SHORT_INTERVALS = {
    "HEADRACE_LEASE_S": "4",
    "HEADRACE_UNANSWERED_S": "1",
    "HEADRACE_MODEL_FIRST_TOKEN_S": "4",
    "HEADRACE_MODEL_BETWEEN_TOKENS_S": "4",
}

CHAT_COLUMNS = {"messages.parts", "sessions.title"}  # a session is named for how it begins
ERROR_COLUMNS = {"jobs.error", "attempts.error", "job_logs.frames"}  # the tenant's own, and gone with the job
ALLOWED_PLACES = {
    "prompt": CHAT_COLUMNS,
    "failed prompt": CHAT_COLUMNS,
    "killed prompt": CHAT_COLUMNS,
    "poisoned prompt": CHAT_COLUMNS,
    "resealed prompt": CHAT_COLUMNS,
    "quoted prompt": CHAT_COLUMNS | ERROR_COLUMNS,
    "question": {"jobs.payload"},
    "system prompt": {"jobs.payload"},
    "answer": {"messages.parts", "jobs.result", "job_logs.frames"},
    "title": {"sessions.title"},
    "idempotency key": {"idempotency_keys.key"},
    "email": {"users.email"},
    "name": {"users.name"},
}
"""Canary → the columns that hold it. All others, every secret among them, stand nowhere in Postgres."""

TOLD_AS_EVENTS = {"answer", "quoted prompt"}
"""What a job's events hold, and with them Redis: the answer, and why there is none."""


@dataclass
class Evidence:
    """What there is to be searched after the walk."""

    find: CanaryFinder
    walk: Walk
    logs: list[Place]
    columns: list[Place]
    kept: list[Place]
    snapshot: bytes
    commands: list[list[bytes]]
    pages: list[Place]
    command_lines: list[Place]
    core_limits: dict[str, int]


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    find, folder = CanaryFinder(), tmp_path_factory.mktemp("canaries")
    with open_stores(tmp_path_factory.mktemp("canary-stores"), durable=False) as stores:
        assert stores.postgres is not None
        assert stores.valkey is not None
        migrate(stores.database_url)
        keep_commits(stores.database_url)
        find.add("database password", urlsplit(stores.database_url).password or "")
        find.add("Redis password", urlsplit(stores.redis_url).password or "")
        vendor = Vendor(find.make("answer", 'wasser "{}" mühle'))
        settings = {
            **SHORT_INTERVALS,
            "HEADRACE_SECRET_KEYS": find.add("old secret key", new_secret_key()),
            "OPENAI_API_KEY": find.make("deployment's provider key", "sk-proj-{}xYz"),
        }

        async def gather() -> Evidence:
            async with vendor, Monitor().listening(stores.redis_url) as monitor:
                urls = (stores.database_url, stores.redis_url)
                system = System(*urls, folder=folder, model_url=vendor.base_url, settings=settings, roles=ROLES)
                system.fork_servers = None  # command lines are among what is searched
                async with system, make_walk(find, stores, system, vendor) as walk:
                    await take(walk)
                    pages = await flower_pages(system.url_of("flower"), walk.jobs)
                    shown, kept = command_lines(), redis_contents(stores.redis_url)
                    limits = {name: core_limit(process.pid) for name, process in system.processes.items()}
                columns, snapshot = postgres_columns(stores.database_url), redis_snapshot(stores.redis_url)
                files = [*folder.glob("*.log"), stores.postgres.log_file, stores.valkey.log_file]
                logs = [(file.name, file.read_bytes()) for file in files]
                return Evidence(find, walk, logs, columns, kept, snapshot, monitor.commands, pages, shown, limits)

        yield asyncio.run(gather())


async def take(walk: Walk) -> None:
    """Take the walk."""
    await walk.sign_in()
    await walk.talk()
    await walk.store_keys()
    await walk.have_webhooks()
    await walk.go_wrong()
    await walk.look_from_outside()
    await walk.rotate_keys()
    await walk.kill_a_worker()
    await walk.provoke_errors()
    await walk.lose_postgres()
    await walk.end_jobs()


def test_no_log_holds_what_was_said_or_a_secret(evidence: Evidence) -> None:
    assert {"api.log", "chat.log", "flower.log", "postgres.log", "rotate.log", "scheduler.log", "valkey.log"} == {
        name for name, _ in evidence.logs
    }
    assert [] == evidence.find.leaks(evidence.logs)


def test_redis_hears_answers_only_as_the_events_of_their_jobs(evidence: Evidence) -> None:
    ours, written = evidence.walk.owner.id, 0
    for command in evidence.commands:
        if found := evidence.find.find(*command):
            assert found <= TOLD_AS_EVENTS, command[0]
            named = b" ".join(command[:6]).decode(errors="replace")
            assert command[0].upper() in (b"EVALSHA", b"XADD", b"PUBLISH"), named
            assert f"headrace:{ours}:job:" in named or command[1].startswith(b"headrace:inbox:"), named
            written += command[0] == b"XADD"
    assert written > 0


def test_redis_keeps_answers_only_as_the_events_of_their_jobs(evidence: Evidence) -> None:
    ours = re.compile(rf"headrace:{evidence.walk.owner.id}:job:[\w-]+:events")
    streams = [held for key, held in evidence.kept if ours.fullmatch(key)]
    others = [(key, held) for key, held in evidence.kept if not ours.fullmatch(key)]
    assert TOLD_AS_EVENTS == evidence.find.find(*streams)
    assert [] == evidence.find.leaks(others)
    assert [] == evidence.find.leaks([("the file of Redis", evidence.snapshot)], allowed=TOLD_AS_EVENTS)


def test_flower_shows_nothing_that_was_said_and_no_secret(evidence: Evidence) -> None:
    assert any(name.startswith("/task/") for name, _ in evidence.pages)
    assert any(name.startswith("/worker/") for name, _ in evidence.pages)
    assert [] == evidence.find.leaks(evidence.pages)


def test_every_column_of_postgres_holds_only_what_belongs_there(evidence: Evidence) -> None:
    found: dict[str, set[str]] = {}
    for column, held in evidence.columns:
        for name in evidence.find.find(held):
            found.setdefault(name, set()).add(column)
    assert ALLOWED_PLACES == found


def test_no_error_tells_a_secret_and_no_answer_what_is_another_tenants(evidence: Evidence) -> None:
    said = {name for name in ALLOWED_PLACES if name not in ("email", "name")} | {
        "lost text"
    }  # they come back to who said them
    assert [] == evidence.find.leaks(evidence.walk.errors, allowed=said)
    assert [] == evidence.find.leaks(evidence.walk.told)


def test_no_command_line_holds_a_secret(evidence: Evidence) -> None:
    assert any(b"workers\0chat" in line for _, line in evidence.command_lines)
    assert [] == evidence.find.leaks(evidence.command_lines)


def test_no_process_leaves_its_memory_in_a_file_when_it_crashes(evidence: Evidence) -> None:
    assert dict.fromkeys(ROLES, 0) == evidence.core_limits


def test_what_went_wrong_on_purpose_went_wrong(evidence: Evidence) -> None:
    logs = {name: held.decode() for name, held in evidence.logs}
    assert "CheckViolation" in logs["api.log"]
    assert "AttemptError('CheckViolation')" in logs["chat.log"].replace("\\", "")
    for code in ("provider_rejected_key", "provider_refused", "provider_overloaded", "provider_stalled"):
        assert code in logs["chat.log"], code


def test_a_canary_that_is_logged_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    find, before = CanaryFinder(), (logging.getLogger().handlers[:], logging.getLogger().level)
    prompt, key = find.make("prompt", 'Why "é" \n {}?'), find.make("key", "canary/{}+")
    try:
        configure_logging("test", style="json")
        structlog.get_logger("canaries").info("prompt_heard", prompt=prompt)
        assert {"prompt"} == find.find(capsys.readouterr().err)
        structlog.get_logger("canaries").info("key_heard", body={"deep": [{"said": key}]})
        assert {"key"} == find.find(capsys.readouterr().err)
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers[:], logging.getLogger().level = before


SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda text: f"before {text} after",
    lambda text: json.dumps({"deep": [text]}),
    lambda text: json.dumps({"deep": json.dumps([text])}),
    lambda text: f"https://example.com/?q={quote_plus(text)}&a=1",
    lambda text: repr({"deep": text}),
    lambda text: base64.b64encode(f"a{text}b".encode()).decode(),
    lambda text: base64.urlsafe_b64encode(json.dumps(["ab", text]).encode()).decode(),
    lambda text: f"\\x{text.encode().hex()}",
    lambda text: f"<td>{html.escape(text)}</td>",
)


@pytest.mark.parametrize("wrap", SPELLINGS)
def test_a_canary_is_found_in_whatever_it_is_wrapped(wrap: Callable[[str], str]) -> None:
    find = CanaryFinder()
    text = find.add("text", 'Why "é" & \n \\ + 7b1f?')
    assert {"text"} == find.find(wrap(text))
    assert set() == find.find(wrap("Why not?"))

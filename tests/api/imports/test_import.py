"""`import`: what other programs stored becomes sessions that are read as all others are, once and whole, or nothing does."""

import asyncio
import json
from pathlib import Path
from typing import Any, LiteralString

import httpx
import psycopg
import pytest

from api.__main__ import main
from tests.api.people import make_user
from tests.conftest import TestTenant, make_tenant

ALICE, BOB = "alice@example.com", "bob@example.com"
LEAVE = {
    "session_id": "s1",
    "user_id": "Alice@Example.com",
    "messages": [
        {"role": "system", "content": "You are kind.", "timestamp": "2024-03-01T09:00:00"},
        {"role": "human", "content": "How much leave have I?", "timestamp": "2024-03-01T09:00:00"},
        {"role": "ai", "content": "24 days\x00.", "timestamp": 1709283605},
        {
            "role": "user",
            "content": [{"type": "text", "text": "And now?"}, {"type": "image_url"}],
            "timestamp": 1709283700000,
        },
        {"role": "assistant", "content": "20 days."},
    ],
}
TRIPS = {"id": "s2", "email": BOB, "title": "Trips", "messages": [{"role": "user", "content": "Who approves trips?"}]}
CHAT = {
    "id": "c1",
    "user_id": "a-user-over-there",
    "title": "Gates",
    "created_at": 1709283600,
    "chat": {
        "history": {
            "currentId": "m4",
            "messages": {
                "m1": {"id": "m1", "parentId": None, "role": "user", "content": "Which gate?", "timestamp": 1709283600},
                "m2": {
                    "id": "m2",
                    "parentId": "m1",
                    "role": "assistant",
                    "content": "Gate 1.",
                    "timestamp": 1709283601,
                },
                "m4": {
                    "id": "m4",
                    "parentId": "m1",
                    "role": "assistant",
                    "content": "Gate 2.",
                    "timestamp": 1709283602,
                },
            },
        }
    },
}


@pytest.fixture
def people(database_url: str, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alice and Bob are in the tenant, and the database is the one that is named."""
    for email in (ALICE, BOB):
        make_user(database_url, tenant.id, email, password=None)
    monkeypatch.setenv("HEADRACE_DATABASE_URL", database_url)


def rows(database_url: str, sql: LiteralString, tenant: TestTenant) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url) as db:
        return db.execute(sql, (tenant.id,)).fetchall()


SESSIONS = """SELECT u.email, s.title, s.turns FROM sessions s
  LEFT JOIN users u ON u.tenant_id = s.tenant_id AND u.id = s.user_id WHERE s.tenant_id = %s ORDER BY s.title"""


def imported(tenant: TestTenant, path: Path, *more: str) -> int:
    return main(["import", str(path), "--tenant", tenant.slug, *more])


async def test_a_folder_of_session_files_becomes_sessions_once_and_only_when_it_is_meant(
    database_url: str,
    tenant: TestTenant,
    people: None,
    api: httpx.AsyncClient,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/s1.json").write_text(json.dumps(LEAVE))
    (tmp_path / "rest.json").write_text(json.dumps({"sessions": [TRIPS, {"id": "s3", "messages": []}]}))

    assert 0 == await asyncio.to_thread(imported, tenant, tmp_path, "--check")
    said = capsys.readouterr().out
    assert "2 conversations with 5 messages would be imported" in said
    assert [] == rows(database_url, SESSIONS, tenant)

    assert 0 == await asyncio.to_thread(imported, tenant, tmp_path)
    said = capsys.readouterr().out
    assert "2 conversations with 5 messages were imported" in said
    assert "left out: messages of the role 'system' (1)" in said
    assert "left out: conversations without a message (1)" in said
    assert "left out: parts of messages that are no text (1)" in said
    wanted = [(ALICE, "How much leave have I?", 2), (BOB, "Trips", 1)]
    assert wanted == rows(database_url, SESSIONS, tenant)

    assert 0 == await asyncio.to_thread(imported, tenant, tmp_path)
    said = capsys.readouterr().out
    assert "0 conversations with 0 messages were imported" in said
    assert "2 conversations are there from an earlier import" in said
    assert wanted == rows(database_url, SESSIONS, tenant)

    found = rows(database_url, "SELECT id FROM sessions WHERE tenant_id = %s AND title LIKE 'How%%'", tenant)[0][0]
    assert (await api.get(f"/api/sessions/{found}")).json()["created_at"].startswith("2024-03-01T09:00:00")
    items = (await api.get(f"/api/sessions/{found}/messages")).json()["items"]
    texts = [(item["role"], item["parts"][0]["text"]) for item in items]
    assert [("user", "How much leave have I?"), ("assistant", "24 days.")] == texts[:2]
    assert [("user", "And now?"), ("assistant", "20 days.")] == texts[2:]
    audited = "SELECT action, detail FROM audit_log WHERE tenant_id = %s"
    assert [("sessions.imported", {"imported": 2, "messages": 5})] == rows(database_url, audited, tenant)


def test_open_webuis_export_gives_the_branch_that_was_shown_last_to_who_is_named(
    database_url: str, tenant: TestTenant, people: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "chats.json").write_text(json.dumps([CHAT]))
    (tmp_path / "list.json").write_text(json.dumps(TRIPS["messages"]))
    assert 0 == imported(tenant, tmp_path, "--user", ALICE)
    assert "left out: messages of other branches (1)" in capsys.readouterr().out
    assert [(ALICE, "Gates", 1), (ALICE, "Who approves trips?", 1)] == rows(database_url, SESSIONS, tenant)
    spoken = """SELECT m.role, parts -> 0 ->> 'text' FROM messages m JOIN sessions s ON s.id = m.session_id
      WHERE m.tenant_id = %s AND s.title = 'Gates' ORDER BY m.turn, m.ordinal"""
    assert [("user", "Which gate?"), ("assistant", "Gate 2.")] == rows(database_url, spoken, tenant)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"messages": [{"role": "user"', "it is no JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"persona": "kind"}', "it holds something that has no messages"),
        ('{"messages": [1]}', "a message is not an object"),
        ('"hello"', "it is neither an object nor a list"),
        ('[{"chat": {"history": {"currentId": "a", "messages": {"a": {"parentId": "a"}}}}}]', "each other's parents"),
        (json.dumps({**TRIPS, "email": "eve@example.com"}), "1 person is not in this tenant by this address: eve@"),
    ],
)
def test_one_file_that_is_none_keeps_the_others_out(
    content: str,
    told: str,
    database_url: str,
    tenant: TestTenant,
    people: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "good.json").write_text(json.dumps(LEAVE))
    (tmp_path / "odd.json").write_text(content)
    assert 1 == imported(tenant, tmp_path)
    said = capsys.readouterr().err
    assert (told in said, "Nothing was imported" in said, "How much leave" in said) == (True, True, False), said
    assert [] == rows(database_url, SESSIONS, tenant)


def test_a_conversation_that_stands_there_twice_is_imported_once_and_two_of_one_id_not_at_all(
    database_url: str, tenant: TestTenant, people: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "all.json"
    file.write_text(json.dumps([LEAVE, LEAVE]))
    assert 0 == imported(tenant, file)
    assert "left out: conversations that stand there twice (1)" in capsys.readouterr().out
    file.write_text(json.dumps([TRIPS, TRIPS | {"messages": LEAVE["messages"][3:]}, TRIPS | {"title": "Others"}]))
    assert 1 == imported(tenant, file)
    assert "two different conversations have the id 's2'" in capsys.readouterr().err
    assert 1 == len(rows(database_url, SESSIONS, tenant))


def test_times_that_cannot_be_read_are_counted(
    database_url: str, tenant: TestTenant, people: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [{"role": "user", "content": "Hi.", "timestamp": at} for at in ("yesterday", 1e30, "1709283600")]
    (tmp_path / "odd.json").write_text(json.dumps({"session_id": "s3", "messages": said}))
    assert 0 == imported(tenant, tmp_path)
    assert "left out: times that can't be read" in capsys.readouterr().out


def test_what_a_tenant_would_delete_at_once_is_left_out_and_other_tenants_are_not_concerned(
    database_url: str, tenant: TestTenant, people: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(database_url) as db:
        db.execute("UPDATE tenants SET retention_days = 30 WHERE id = %s", (tenant.id,))
    file = tmp_path / "s.json"
    file.write_text(json.dumps([LEAVE, TRIPS]))
    other = make_tenant(database_url)
    assert 1 == imported(other, file, "--user", ALICE)
    assert f"Nobody in this tenant has the address {ALICE}" in capsys.readouterr().err
    assert 0 == imported(tenant, file)
    assert "left out: conversations older than the 30 days" in capsys.readouterr().out
    assert ([(BOB, "Trips", 1)], []) == (rows(database_url, SESSIONS, tenant), rows(database_url, SESSIONS, other))

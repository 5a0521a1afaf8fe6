"""What ChatGPT, LibreChat and Open WebUI store is told by its content, and read as people saw it; a thousand of each, once."""

import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.__main__ import main
from api.imports.reading import read_all
from api.local.errors import LocalError
from tests.api.imports.conversations_of_others import WRITERS, in_chatgpts, librechats_export, write_webui_db
from tests.api.people import make_user
from tests.conftest import TestTenant

ALICE = "alice@example.com"
TITLES = {"chatgpt": "ChatGPT", "librechat": "LibreChat", "open-webui": "Open WebUI"}
NAMED = {"librechat", "webui.db"}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_thousand_conversations_of_each_format_are_read_as_they_were_shown_last(writer: str, tmp_path: Path) -> None:
    WRITERS[writer](tmp_path, range(1000), ALICE)
    left_out = Counter[str]()
    found = read_all(tmp_path, left_out).conversations
    assert 1000 == len(found)
    for each in found:
        number = each.id[1:]
        assert [("user", f"Question {number}?"), ("assistant", f"Answer {number}.")] == [
            (m.role, m.text) for m in each.said
        ]
        assert (TITLES[each.source] + f" {number}", ALICE if writer in NAMED else None) == (each.title, each.user)
        assert each.said[0].at is not None
    assert 1000 == left_out["messages of other branches"]
    if writer == "chatgpt":
        kinds = ("hidden messages", "calls of tools", "messages of the kind 'thoughts'", "messages of the role 'tool'")
        assert [1000] * 4 == [left_out[kind] for kind in kinds]
        assert (1000, 1) == (
            left_out["parts of messages that are no text"],
            left_out["other files of ChatGPT's export"],
        )


def test_all_of_them_are_imported_in_one_go_and_none_a_second_time_from_another_of_its_forms(
    database_url: str,
    tenant: TestTenant,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", database_url)
    make_user(database_url, tenant.id, ALICE, password=None)
    for writer in ("chatgpt", "librechat", "webui.db"):
        (tmp_path / writer).mkdir()
        WRITERS[writer](tmp_path / writer, range(20), ALICE)
    arguments = ["--tenant", tenant.slug, "--user", ALICE]
    assert 0 == main(["import", str(tmp_path), *arguments, "--check"])
    assert "60 conversations with 120 messages would be imported" in capsys.readouterr().out
    assert 0 == main(["import", str(tmp_path), *arguments])
    again = tmp_path / "again"
    again.mkdir()
    for writer in ("librechat-exports", "open-webui"):
        WRITERS[writer](again, range(20), ALICE)
    assert 0 == main(["import", str(again), *arguments])
    said = capsys.readouterr().out
    assert "60 conversations with 120 messages were imported" in said
    assert "40 conversations are there from an earlier import" in said
    with psycopg.connect(database_url) as db:
        row = db.execute("SELECT count(*), count(user_id) FROM sessions WHERE tenant_id = %s", (tenant.id,)).fetchone()
    assert (60, 60) == row


def test_a_tree_is_read_without_a_current_node_and_nested_as_deeply_as_it_likes(tmp_path: Path) -> None:
    chat: dict[str, Any] = in_chatgpts(1) | {"current_node": None}
    chat["mapping"]["other"]["message"]["create_time"] += 1
    (tmp_path / "g.json").write_text(json.dumps([chat, {"id": "g2", "title": "It has no mapping"}]))
    flat = librechats_export(2)["messages"]
    tree = {**flat[0], "children": [{**flat[1], "children": []}, {**flat[2], "children": []}]}
    nested = {"conversationId": "l2", "recursive": True, "title": "Nested", "messagesTree": [tree]}
    (tmp_path / "l.json").write_text(json.dumps(nested))
    found = {each.id: [said.text for said in each.said] for each in read_all(tmp_path, Counter()).conversations}
    assert {"g1": ["Question 1?", "Another answer."], "g2": [], "l2": ["Question 2?", "Answer 2."]} == found


def test_what_is_damaged_or_of_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 and no more")
    write_webui_db(tmp_path / "webui.db", [], ALICE)
    whole = (tmp_path / "webui.db").read_bytes()
    (tmp_path / "other.db").write_bytes(whole[:200] + b"\xff" * (len(whole) - 200))
    circle = in_chatgpts(1)
    circle["mapping"]["root"]["parent"] = "answer"
    (tmp_path / "circle.json").write_text(json.dumps([circle]))
    (tmp_path / "odd.json").write_text('{"conversationId": "l1", "recursive": true, "messagesTree": [1]}')
    with zipfile.ZipFile(tmp_path / "inner.zip", "w") as packed:
        packed.writestr("a.json", "{")
    with pytest.raises(LocalError) as raised:
        read_all(tmp_path, Counter())
    for told in (
        "as 5 files hold nothing",
        "cut.zip: it is no zip that can be read",
        "other.db: it is no database of Open WebUI",
        "circle.json: the messages of a chat are each other's parents",
        "odd.json: a message is not an object",
        "inner.zip: a.json: it is no JSON",
    ):
        assert told in raised.value.message


@pytest.mark.parametrize("content", ["[]", "{}", None])
def test_an_import_of_nothing_says_so(
    content: str | None, tenant: TestTenant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content:
        (tmp_path / "empty.json").write_text(content)
    assert 1 == main(["import", str(tmp_path), "--tenant", tenant.slug])
    assert f"There is nothing to import in {tmp_path}." in capsys.readouterr().err

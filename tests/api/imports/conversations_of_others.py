"""Conversations as other programs store them: each has a question, an answer, and one that was made anew."""

import json
import sqlite3
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

BEGAN = 1_709_283_600


def in_chatgpts(number: int) -> dict[str, Any]:
    """A conversation of ChatGPT's export, with what else stands in its tree."""

    def said(role: str, *parts: Any, kind: str = "text", **more: Any) -> dict[str, Any]:
        content = {"content_type": kind, "parts": list(parts)}
        return {"author": {"role": role}, "create_time": BEGAN + number, "content": content, "metadata": {}, **more}

    image = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://file-1"}
    hidden = said("user", kind="user_editable_context") | {"metadata": {"is_visually_hidden_from_conversation": True}}
    chain = [
        ("root", None),
        ("hidden", hidden),
        ("system", said("system", "")),
        ("asked", said("user", image, f"Question {number}?", kind="multimodal_text", recipient="all")),
        ("thought", said("assistant", kind="thoughts")),
        (
            "called",
            said("assistant", kind="code", recipient="python") | {"content": {"content_type": "code", "text": "1"}},
        ),
        ("result", said("tool", "1")),
        ("answer", said("assistant", f"Answer {number}.", recipient="all")),
    ]
    parents = [None, *(name for name, _ in chain)]
    nodes = {
        name: {"id": name, "parent": parent, "message": message}
        for (name, message), parent in zip(chain, parents, strict=False)
    }
    nodes["other"] = {"id": "other", "parent": "asked", "message": said("assistant", "Another answer.")}
    return {
        "conversation_id": f"g{number}",
        "title": f"ChatGPT {number}",
        "create_time": BEGAN + number,
        "mapping": nodes,
        "current_node": "answer",
    }


def in_librechats(number: int) -> list[dict[str, Any]]:
    """The messages of a conversation in LibreChat, oldest first."""
    at = datetime.fromtimestamp(BEGAN + 60 * number, UTC)

    def said(key: str, parent: str, text: str, second: int, *, by_user: bool = False) -> dict[str, Any]:
        return {
            "messageId": f"{number}-{key}",
            "conversationId": f"l{number}",
            "parentMessageId": parent if parent.startswith("0000") else f"{number}-{parent}",
            "text": text,
            "sender": "User" if by_user else "GPT-4",
            "isCreatedByUser": by_user,
            "createdAt": at.replace(second=second).isoformat().replace("+00:00", "Z"),
        }

    return [
        said("a", "00000000-0000-0000-0000-000000000000", f"Question {number}?", 1, by_user=True),
        said("b", "a", "Another answer.", 2),
        said("c", "a", "", 3)
        | {"content": [{"type": "think", "think": "?"}, {"type": "text", "text": f"Answer {number}."}]},
    ]


def librechats_export(number: int) -> dict[str, Any]:
    """LibreChat's export of one conversation, as a flat list."""
    head = {
        "conversationId": f"l{number}",
        "title": f"LibreChat {number}",
        "exportAt": "08:12:16 GMT",
        "recursive": False,
    }
    return {**head, "branches": True, "messages": in_librechats(number)}


def in_open_webuis(number: int) -> dict[str, Any]:
    """A chat of Open WebUI's export."""
    said = {
        "a": {"parentId": None, "role": "user", "content": f"Question {number}?", "timestamp": BEGAN + number},
        "b": {"parentId": "a", "role": "assistant", "content": "Another answer.", "timestamp": BEGAN + number + 1},
        "c": {"parentId": "a", "role": "assistant", "content": f"Answer {number}.", "timestamp": BEGAN + number + 2},
    }
    return {
        "id": f"w{number}",
        "user_id": "u1",
        "title": f"Open WebUI {number}",
        "created_at": BEGAN + number,
        "chat": {"history": {"messages": said, "currentId": "c"}},
    }


def write_webui_db(file: Path, chats: list[dict[str, Any]], email: str) -> None:
    """Write the tables of Open WebUI's database that are read."""
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE user (id VARCHAR PRIMARY KEY, name VARCHAR, email VARCHAR)")
        db.execute(
            "CREATE TABLE chat (id VARCHAR PRIMARY KEY, user_id VARCHAR, title TEXT, chat JSON, created_at BIGINT)"
        )
        db.execute("INSERT INTO user VALUES ('u1', 'Alice', ?)", (email,))
        rows = [(each["id"], "u1", each["title"], json.dumps(each["chat"]), each["created_at"]) for each in chats]
        db.executemany("INSERT INTO chat VALUES (?, ?, ?, ?, ?)", rows)
    db.close()


def write_chatgpts_zip(file: Path, conversations: list[dict[str, Any]]) -> None:
    """Write the zip that ChatGPT sends."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("conversations.json", json.dumps(conversations))
        packed.writestr("user.json", json.dumps({"id": "user-1", "email": "somebody@example.com"}))
        packed.writestr("chat.html", "<html></html>")


def _lines(documents: list[dict[str, Any]]) -> str:
    return "\n".join(map(json.dumps, documents))


def write_collections(folder: Path, numbers: range, email: str) -> None:
    """Write what mongoexport makes of LibreChat's collections."""
    folder.mkdir()
    owner = {"$oid": "64d4f005d73ef522e1f48818"}
    dated = [
        {**each, "_id": {"$oid": "6" * 24}, "user": owner["$oid"], "createdAt": {"$date": each["createdAt"]}}
        for number in numbers
        for each in in_librechats(number)
    ]
    heads = [{"_id": {"$oid": "5" * 24}, "conversationId": f"l{n}", "title": f"LibreChat {n}"} for n in numbers]
    (folder / "messages.json").write_text(_lines(dated))
    (folder / "conversations.json").write_text(json.dumps(heads))
    user = {"_id": owner, "email": email, "name": "Alice", "role": "USER", "password": None}
    (folder / "users.json").write_text(json.dumps([user]))


def write_librechats_exports(folder: Path, numbers: range, email: str) -> None:
    """Write a file for each conversation, as a person exports it, who isn't named in it."""
    for number in numbers:
        (folder / f"{number}.json").write_text(json.dumps(librechats_export(number)))


def write_open_webuis_export(folder: Path, numbers: range, email: str) -> None:
    """Write all chats to one file, in which nobody is named."""
    (folder / "chats.json").write_text(json.dumps([in_open_webuis(number) for number in numbers]))


WRITERS: dict[str, Callable[[Path, range, str], None]] = {
    "chatgpt": lambda folder, numbers, _: write_chatgpts_zip(folder / "export.zip", [in_chatgpts(n) for n in numbers]),
    "librechat": lambda folder, numbers, email: write_collections(folder / "dump", numbers, email),
    "librechat-exports": write_librechats_exports,
    "open-webui": write_open_webuis_export,
    "webui.db": lambda folder, numbers, email: write_webui_db(
        folder / "webui.db", [in_open_webuis(n) for n in numbers], email
    ),
}
"""What writes these conversations of a program into a folder; an address is that of whose they are, where the files say so."""

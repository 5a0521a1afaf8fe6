"""Open WebUI's database `webui.db`: the chats as its export has them, with the addresses of those whose they are.

Written for the tables of version 0.12: `chat(id, user_id, title, chat, created_at)`, where `chat` is JSON and the time is in
seconds, and `user(id, email)`. The file is opened for reading only; chats that people deleted there are gone from it.
"""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from api.imports.conversations import Unknown

MAGIC = b"SQLite format 3\x00"
CHATS = """SELECT chat.id, chat.title, chat.chat, chat.created_at, user.email FROM chat LEFT JOIN user ON user.id = chat.user_id
  ORDER BY chat.created_at, chat.id"""


def read_chats(file: Path) -> list[dict[str, Any]]:
    """Return the chats as in an export, each with `user_email`. Raises Unknown for a database of something else."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as db:
            rows = db.execute(CHATS).fetchall()
    except sqlite3.Error as error:
        raise Unknown(f"it is no database of Open WebUI that can be read ({error})") from None
    return [
        {"id": key, "title": title, "chat": _chat(chat), "created_at": at, "user_email": email}
        for key, title, chat, at, email in rows
    ]


def _chat(text: Any) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, TypeError):
        raise Unknown("a chat of the database is no JSON") from None

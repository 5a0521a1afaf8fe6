"""The export of Open WebUI: a list of chats, each a tree of messages, whose branch that was shown last is the conversation.

Written for what version 0.12 exports: `[{"id", "title", "created_at", "chat": {"history": {"currentId", "messages": {ID:
{"parentId", "role", "content", "timestamp"}}}}}]`.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

from api.local.imports.conversations import Conversation, Unknown, read_messages, time_of

SOURCE = "open-webui"


def is_export(content: Any) -> bool:
    """Whether a file's content is such an export."""
    items = cast(list[Any], content) if isinstance(content, list) else []
    return bool(items) and all(isinstance(item, dict) and isinstance(item.get("chat"), dict) for item in items)


def read(content: list[dict[str, Any]], name: str, left_out: Counter[str]) -> Iterator[Conversation]:
    """Yield the conversations of an export. Raises Unknown."""
    for number, item in enumerate(content, 1):
        history = item["chat"].get("history")
        messages = history.get("messages") if isinstance(history, dict) else None
        if not isinstance(messages, dict):
            raise Unknown("a chat has no history with messages")
        branch = _branch(cast(dict[str, Any], messages), history.get("currentId"))
        left_out["messages of other branches"] += len(cast(dict[str, Any], messages)) - len(branch)
        yield Conversation(
            source=SOURCE,
            id=str(item.get("id") or f"{name}#{number}"),
            user=None,  # its ids of people mean nothing here
            title=str(item.get("title") or item["chat"].get("title") or ""),
            said=tuple(read_messages(branch, left_out)),
            created_at=time_of(item.get("created_at"), left_out),
        )


def _branch(messages: dict[str, Any], current: Any) -> list[dict[str, Any]]:
    """Return the messages from the root to the current one. Raises Unknown where they go in a circle."""
    branch, seen = list[dict[str, Any]](), set[str]()
    while isinstance(current, str) and isinstance(messages.get(current), dict):
        if current in seen:
            raise Unknown("the messages of a chat are each other's parents")
        seen.add(current)
        branch.append(messages[current])
        current = messages[current].get("parentId")
    return branch[::-1]

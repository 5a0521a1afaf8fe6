"""The export of Open WebUI: a list of chats, each a tree of messages, whose branch that was shown last is the conversation.

Written for what version 0.12 exports: `[{"id", "title", "created_at", "chat": {"history": {"currentId", "messages": {ID:
{"parentId", "role", "content", "timestamp"}}}}}]`. Chats of old versions have
`"chat": {"messages": […]}` instead.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

from api.imports.conversations import Conversation, Unknown, read_messages, time_of
from api.imports.trees import branch_to

SOURCE = "open-webui"


def is_export(content: Any) -> bool:
    """Whether a file's content is such an export."""
    items = cast(list[Any], content) if isinstance(content, list) else []
    return bool(items) and all(isinstance(item, dict) and isinstance(item.get("chat"), dict) for item in items)


def read(content: list[dict[str, Any]], name: str, left_out: Counter[str]) -> Iterator[Conversation]:
    """Yield the conversations of an export. Raises Unknown."""
    for number, item in enumerate(content, 1):
        branch, others = _shown(item["chat"])
        left_out["messages of other branches"] += others
        yield Conversation(
            source=SOURCE,
            id=str(item.get("id") or f"{name}#{number}"),
            user=item.get("user_email") or None,  # ids of people mean nothing here
            title=str(item.get("title") or item["chat"].get("title") or ""),
            said=tuple(read_messages(branch, left_out)),
            created_at=time_of(item.get("created_at"), left_out),
            ids_are_global=True,
        )


def _shown(chat: dict[str, Any]) -> tuple[list[Any], int]:
    """Return the messages that were shown last, and how many others there are. Raises Unknown."""
    history = cast(dict[str, Any], chat.get("history") if isinstance(chat.get("history"), dict) else {})
    messages = history.get("messages")
    if messages is None and isinstance(chat.get("messages"), list):
        return chat["messages"], 0
    if not isinstance(messages, dict):
        raise Unknown("a chat has no history with messages")
    branch = branch_to(cast(dict[str, Any], messages), history.get("currentId"), "parentId")
    return cast(list[Any], branch), len(cast(dict[str, Any], messages)) - len(branch)

"""The export of ChatGPT: conversations as trees of messages, of which the branch that was shown last is the conversation.

Written for `conversations.json` (newer ones: `conversations-000.json` and so on), in the zip or unpacked: `[{"conversation_id",
"id", "title", "create_time", "current_node", "mapping": {ID: {"parent", "message": {"author": {"role"}, "create_time",
"content": {"content_type", "parts"}, "recipient", "metadata"} | null}}}]`. OpenAI does not describe it; this follows what
LibreChat's importer reads and tests (`api/server/utils/import/` in danny-avila/LibreChat).
Texts are taken, from `text`, `multimodal_text` and from `code` that is an answer. What goes to a tool, what is hidden, thoughts
and results of tools are left out.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

from api.imports.conversations import Conversation, Unknown, read_messages, time_of
from api.imports.trees import branch_to, newest

SOURCE = "chatgpt"
TEXTS = ("text", "multimodal_text")
OTHER_FILES = (
    "user",
    "user_settings",
    "message_feedback",
    "shared_conversations",
    "model_comparisons",
    "group_chats",
    "sora",
)
"""Names of files that are beside the conversations, without `.json`."""

HIDDEN = "is_visually_hidden_from_conversation"


def is_export(content: Any) -> bool:
    """Whether a file's content is such an export."""
    items = cast(list[Any], content) if isinstance(content, list) else []
    objects = [cast(dict[str, Any], item) for item in items if isinstance(item, dict)]
    return len(objects) == len(items) and any(isinstance(item.get("mapping"), dict) for item in objects)


def read(content: list[dict[str, Any]], name: str, left_out: Counter[str]) -> Iterator[Conversation]:
    """Yield the conversations of an export. Raises Unknown."""
    for number, item in enumerate(content, 1):
        nodes = cast(dict[str, Any], item.get("mapping") if isinstance(item.get("mapping"), dict) else {})
        if not all(isinstance(node, dict) for node in nodes.values()):
            raise Unknown("the mapping of a conversation holds something that is no message")
        branch = branch_to(nodes, _current(nodes, item.get("current_node")), "parent")
        said = [node["message"] for node in branch if _has_message(node)]
        left_out["messages of other branches"] += sum(map(_has_message, nodes.values())) - len(said)
        yield Conversation(
            source=SOURCE,
            id=str(item.get("conversation_id") or item.get("id") or f"{name}#{number}"),
            user=None,
            title=str(item.get("title") or ""),
            said=tuple(read_messages(_shown(said, left_out), left_out)),
            created_at=time_of(item.get("create_time"), left_out),
            ids_are_global=True,
        )


def _has_message(node: dict[str, Any]) -> bool:
    return isinstance(node.get("message"), dict)


def _current(nodes: dict[str, Any], named: Any) -> Any:
    """Return the id of the message that was shown last; the newest where none is named."""
    if isinstance(named, str) and named in nodes:
        return named
    ignored = Counter[str]()
    messages = {key: node["message"] for key, node in nodes.items() if _has_message(node)}
    return newest({key: time_of(message.get("create_time"), ignored) for key, message in messages.items()})


def _shown(messages: list[dict[str, Any]], left_out: Counter[str]) -> Iterator[dict[str, Any]]:
    """Yield what people saw as texts of a person and of the model."""
    for message in messages:
        author, content = _object(message, "author"), _object(message, "content")
        kind, role = content.get("content_type"), str(author.get("role") or "")
        if _object(message, "metadata").get(HIDDEN) is True:
            left_out["hidden messages"] += 1
        elif role == "assistant" and message.get("recipient") not in (None, "all"):
            left_out["calls of tools"] += 1
        elif role in ("system", "tool") or kind in TEXTS:
            yield {"role": role, "content": content.get("parts"), "time": message.get("create_time")}
        elif kind == "code":
            yield {"role": role, "content": content.get("text"), "time": message.get("create_time")}
        else:
            left_out[f"messages of the kind {str(kind)[:30]!r}"] += 1


def _object(item: dict[str, Any], name: str) -> dict[str, Any]:
    found = item.get(name)
    return cast(dict[str, Any], found) if isinstance(found, dict) else {}

"""LibreChat: its export of a conversation as JSON, and its collections as `mongoexport` writes them.

The export, as `client/src/hooks/Conversations/useExportConversation.ts` of danny-avila/LibreChat writes it:
`{"conversationId", "title", "exportAt", "branches", "recursive", "messages" | "messagesTree": [{"messageId",
"parentMessageId", "text", "content", "isCreatedByUser", "createdAt", "children"}]}`; recursive ones nest in `children`. It
names no current message, so the branch of the newest message is the conversation.
The collections `messages`, `conversations` and `users`, as in `packages/data-schemas/src/schema/` there: `messages` have the
fields above, `conversationId` and `user`; `conversations` give titles, and `users` addresses.
MongoDB's ids and dates are `{"$oid": …}` and `{"$date": …}` (Extended JSON 2). `mongodump` writes BSON, which isn't read.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from api.imports.conversations import Conversation, Unknown, read_messages, time_of
from api.imports.trees import branch_to, newest

SOURCE = "librechat"


@dataclass
class Collections:
    """The documents of the collections `messages` and `conversations`, from however many files."""

    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    titles: dict[str, str] = field(default_factory=dict[str, str])

    def take(self, content: Any) -> bool:
        """Keep what a file holds; return whether it is of these collections."""
        items = cast(list[Any], content if isinstance(content, list) else [content])
        if not items or not all(
            isinstance(item, dict) and isinstance(item.get("conversationId"), str) for item in items
        ):
            return False
        if all("messageId" in item for item in items):
            self.messages += items
        elif all("_id" in item and "messageId" not in item for item in items):
            self.titles |= {item["conversationId"]: str(item.get("title") or "") for item in items}
        else:
            return False
        return True

    def read(self, addresses: Mapping[str, str], left_out: Counter[str]) -> Iterator[Conversation]:
        """Yield the conversations of the messages; `addresses` are those of people by their ids."""
        grouped = dict[str, list[dict[str, Any]]]()
        for message in self.messages:
            grouped.setdefault(message["conversationId"], []).append(message)
        for key, messages in grouped.items():
            user = addresses.get(plain(messages[0].get("user")) or "")
            yield _conversation(key, self.titles.get(key, ""), messages, left_out, user=user)


def is_export(content: Any) -> bool:
    """Whether a file's content is the export of a conversation."""
    if not isinstance(content, dict):
        return False
    fields = cast(dict[str, Any], content)
    return isinstance(fields.get("conversationId"), str) and bool(
        {"messagesTree", "exportAt", "recursive"} & set(fields)
    )


def read(content: dict[str, Any], left_out: Counter[str]) -> Iterator[Conversation]:
    """Yield the conversation of an export. Raises Unknown."""
    messages = _flat(content.get("messagesTree") or content.get("messages") or [])
    yield _conversation(content["conversationId"], str(content.get("title") or ""), messages, left_out)


def plain(value: Any) -> str | None:
    """Return an id of MongoDB as a text; None for what is none."""
    found = cast(dict[str, Any], value).get("$oid") if isinstance(value, dict) else value
    return found if isinstance(found, str) else None


def _conversation(
    key: str, title: str, messages: Iterable[dict[str, Any]], left_out: Counter[str], *, user: str | None = None
) -> Conversation:
    known = {str(message.get("messageId") or f"#{number}"): message for number, message in enumerate(messages)}
    ignored = Counter[str]()  # those of the branch are counted where it is read
    times = {each: time_of(_moment(message.get("createdAt")), ignored) for each, message in known.items()}
    branch = branch_to(known, newest(times), "parentMessageId")
    left_out["messages of other branches"] += len(known) - len(branch)
    return Conversation(
        source=SOURCE,
        id=key,
        user=user,
        title=title,
        said=tuple(read_messages(map(_said, branch), left_out)),
        created_at=min((at for at in times.values() if at is not None), default=None),
        ids_are_global=True,
    )


def _flat(tree: Any) -> list[dict[str, Any]]:
    """Return the messages of a tree in order, each with the id of its parent; not by recursion, as they nest deeply."""
    flat, waiting = list[dict[str, Any]](), [(tree, cast(str | None, None))]
    while waiting:
        children, parent = waiting.pop()
        if not isinstance(children, list) or not all(isinstance(item, dict) for item in cast(list[Any], children)):
            raise Unknown("a message is not an object")
        for message in cast(list[dict[str, Any]], children):
            flat.append(message if parent is None else {**message, "parentMessageId": parent})
            if message.get("children"):
                waiting.append((message["children"], str(message.get("messageId"))))
    return flat


def _said(message: dict[str, Any]) -> dict[str, Any]:
    by_user = message.get("isCreatedByUser")
    role = (
        "user" if by_user is True or (by_user is None and str(message.get("sender")).lower() == "user") else "assistant"
    )
    parts = message.get("content")
    content = message.get("text") or (
        [_part(part) for part in cast(list[Any], parts)] if isinstance(parts, list) else parts
    )
    return {"role": role, "content": content, "time": _moment(message.get("createdAt"))}


def _part(part: Any) -> Any:
    """Return a part as others write it: LibreChat's texts may be `{"text": {"value": …}}`, and thoughts are no texts."""
    match part:
        case {"type": "text", "text": {"value": str(text)}}:
            return text
        case _:
            return part


def _moment(value: Any) -> Any:
    """Return a date of MongoDB as `time_of` takes it."""
    match value:
        case {"$date": {"$numberLong": str(milliseconds)}}:
            return milliseconds
        case {"$date": at}:
            return at
        case _:
            return value

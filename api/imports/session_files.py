"""JSON files as prototypes keep them: `{"session_id", "user_id", "messages": [{"role", "content", "timestamp"}]}`, one in a
file, or many as a list or by their ids; or only a list of messages. Fields may have the other names that are common for them.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

from api.imports.conversations import ROLE_NAMES, TIME_NAMES, Conversation, Unknown, first, read_messages, time_of

SOURCE = "json"
ID_NAMES = ("session_id", "conversation_id", "thread_id", "id")
USER_NAMES = ("email", "user_email", "user_id", "user")
LIST_NAMES = ("sessions", "conversations", "chats")
MESSAGES = ("messages", "history")


def read(content: Any, name: str, left_out: Counter[str]) -> Iterator[Conversation]:
    """Yield the conversations of a file; `name` is the id of one that has none. Raises Unknown."""
    match content:
        case dict():
            fields = cast(dict[str, Any], content)
            inner = first(fields, LIST_NAMES)
            if first(fields, MESSAGES) is not None:
                yield _conversation(fields, name, left_out)
            elif inner is not None:
                yield from read(inner, name, left_out)
            else:
                yield from (_conversation(_with_messages(each), key, left_out) for key, each in fields.items())
        case list():
            items = cast(list[Any], content)
            if _is_message(items[:1]):
                yield _conversation({"messages": items}, name, left_out)
                return
            for number, each in enumerate(items, 1):
                yield _conversation(_with_messages(each), f"{name}#{number}", left_out)
        case _:
            raise Unknown("it is neither an object nor a list")


def _is_message(items: list[Any]) -> bool:
    """Whether a list begins with a message, and so is one conversation."""
    return any(isinstance(item, dict) and first(item, ROLE_NAMES) and first(item, MESSAGES) is None for item in items)


def _with_messages(item: Any) -> dict[str, Any]:
    """Return a conversation, which may be only a list of its messages."""
    fields = cast(dict[str, Any], {"messages": item} if isinstance(item, list) else item)
    if not isinstance(item, list | dict) or first(fields, MESSAGES) is None:
        raise Unknown("it holds something that has no messages")
    return fields


def _conversation(fields: dict[str, Any], name: str, left_out: Counter[str]) -> Conversation:
    messages = first(fields, MESSAGES)
    if not isinstance(messages, list):
        raise Unknown("the messages of a conversation are not a list")
    said = tuple(read_messages(cast(list[Any], messages), left_out))
    return Conversation(
        source=SOURCE,
        id=str(first(fields, ID_NAMES) or name),
        user=_user(first(fields, USER_NAMES)),
        title=str(first(fields, ("title", "name")) or ""),
        said=said,
        created_at=time_of(first(fields, TIME_NAMES), left_out),
    )


def _user(said: Any) -> str | None:
    """Return whose a conversation is; nobody's in particular is never a guess."""
    match said:
        case None | "":
            return None
        case str() | int():
            return str(said)
        case {"email": str(email)}:
            return email
        case _:
            raise Unknown("it can't be told whose a conversation is")

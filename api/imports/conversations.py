"""A conversation of any source, and how its roles, texts and times are understood."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast

Role = Literal["user", "assistant"]
ROLES: Mapping[str, Role] = {
    **dict.fromkeys(("user", "human", "you"), "user"),
    **dict.fromkeys(("assistant", "ai", "bot", "model", "chatbot", "agent"), "assistant"),
}
ROLE_NAMES, TEXT_NAMES = ("role", "sender", "type", "author"), ("content", "text", "message")
TIME_NAMES = ("timestamp", "created_at", "create_time", "time", "date")
MILLISECONDS_FROM = 100_000_000_000  # such a number of seconds would be in the year 5138
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
MAX_TEXT = 1_000_000


@dataclass(frozen=True)
class ImportedMessage:
    """A message: who said what, and when, if that is known."""

    role: Role
    text: str
    at: datetime | None


@dataclass(frozen=True)
class Conversation:
    """A conversation and its id where it comes from, by which it is known again; `user` is whose it is, as the source says.
    Ids that `ids_are_global` are nobody else's conversation's, so whose it is need not be known."""

    source: str
    id: str
    user: str | None
    title: str
    said: tuple[ImportedMessage, ...]
    created_at: datetime | None = None
    ids_are_global: bool = False

    @property
    def origin(self) -> str:
        """What it is known by, with its first moment."""
        return f"{self.source}/{'' if self.ids_are_global else self.user or ''}/{self.id}"

    @property
    def key(self) -> tuple[str, datetime]:
        """What it is known by."""
        return self.origin, self.first_at

    @property
    def first_at(self) -> datetime:
        """A moment that is the same whenever it is read: the first that is known of it."""
        known = [self.created_at, *(message.at for message in self.said)]
        return next((at for at in known if at is not None), EARLIEST)


class Unknown(ValueError):
    """Something isn't what the reader takes it for; the message says where and what, without what people wrote."""


def read_messages(items: Iterable[Any], left_out: Counter[str]) -> Iterator[ImportedMessage]:
    """Yield the messages of people and models that have a text; the others are counted by what they are."""
    for item in items:
        if not isinstance(item, dict):
            raise Unknown("a message is not an object")
        message = cast(dict[str, Any], item)
        role = str(first(message, ROLE_NAMES) or "").lower()
        text = text_of(first(message, TEXT_NAMES), left_out)
        if role not in ROLES:
            left_out[f"messages of the role {role[:20]!r}"] += 1
        elif not text.strip():
            left_out["messages without a text"] += 1
        elif len(text) > MAX_TEXT:
            left_out[f"messages of more than {MAX_TEXT:,} characters"] += 1
        else:
            yield ImportedMessage(ROLES[role], text, time_of(first(message, TIME_NAMES), left_out))


def text_of(content: Any, left_out: Counter[str]) -> str:
    """Return the text of a message's content: a string, or a list of parts, of which images and the like are counted."""
    if isinstance(content, str) or content is None:
        return content or ""
    if not isinstance(content, list):
        raise Unknown("a message's content is neither a text nor a list of parts")
    texts = list[str]()
    for part in cast(list[Any], content):
        text = part if isinstance(part, str) else part.get("text") if isinstance(part, dict) else None
        if isinstance(text, str):
            texts.append(text)
        else:
            left_out["parts of messages that are no text"] += 1
    return "\n".join(texts)


def time_of(value: Any, left_out: Counter[str]) -> datetime | None:
    """Return a moment that is written as ISO 8601 (without a zone: UTC) or as seconds or milliseconds since 1970; None if there
    is none, and for what is neither, or can't be true, which is counted."""
    try:
        at = _parsed(value)
    except (ValueError, OverflowError, OSError):
        at = None
    if at is not None and EARLIEST < at <= datetime.now(UTC):
        return at
    if value is not None:
        left_out["times that can't be read, or are not between 1990 and now"] += 1
    return None


def _parsed(value: Any) -> datetime | None:
    if isinstance(value, str) and value.replace(".", "", 1).isdigit():
        value = float(value)
    if isinstance(value, str):
        at = datetime.fromisoformat(value)
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return datetime.fromtimestamp(value / 1000 if value >= MILLISECONDS_FROM else value, UTC)
    return None


def first(item: Mapping[str, Any], names: Iterable[str]) -> Any:
    """Return the first of these fields that is there and not null."""
    return next((item[name] for name in names if item.get(name) is not None), None)

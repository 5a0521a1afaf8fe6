"""A conversation as the rules see it: the question and its parts, what was called for it, what came back, and the text at
hand. Rules 1, 2, 9 and 10 of `offline.py`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from graphs.language.clauses import split_clauses
from graphs.providers.contract import Message, TextPart, ToolCallPart, ToolResultPart
from graphs.providers.offline.fill_arguments import plain
from graphs.providers.offline.texts import cited, sentences

LONGEST_ASKED = 600
"""Characters of a message that is all question; of a longer one only its questions are looked at for tools."""

_MARK_LINE = re.compile(r"^\s*(?:</?[a-zA-Z_][^<>\n]*>|```\w*|-{3,}|={3,})\s*$")

FENCE = re.compile(r"</?data>")
"""Marks data in prompts; a sentence with one is about the marks."""


@dataclass(frozen=True)
class CalledTool:
    """A call that was made for the question, and what came back (None: nothing yet)."""

    name: str
    arguments: dict[str, Any]
    result: str | None = None

    @property
    def same(self) -> tuple[str, bytes]:
        """What makes two calls the same."""
        return self.name, msgspec.json.encode(self.arguments, order="sorted")

    @property
    def data(self) -> Any:
        """The result as JSON, or as text without lines that only mark where it begins and ends."""
        return read_result(self.result or "")


@dataclass(frozen=True)
class Conversation:
    """`question` by rule 2; `parts` are what it asks for; `earlier` are the messages that a code may stand in; `at_hand`
    are sentences to quote; `instructions` are the system's messages."""

    question: str
    parts: tuple[str, ...]
    earlier: tuple[str, ...]
    at_hand: tuple[str, ...]
    instructions: str
    called: tuple[CalledTool, ...]

    @property
    def answered(self) -> list[CalledTool]:
        """The calls that have their results."""
        return [call for call in self.called if call.result is not None]

    @property
    def fields(self) -> Mapping[str, Any]:
        """The plain values of all results by the words of their names; the first of a name counts."""
        found: dict[str, Any] = {}
        for call in self.answered:
            for name, value in _fields(call.data):
                found.setdefault(plain(name), value)
        return found


def read_conversation(messages: Sequence[Message]) -> Conversation:
    """What the rules need of a conversation."""
    at = max((i for i, m in enumerate(messages) if m.role == "user"), default=-1)
    message = _words(messages[at]) if at >= 0 else ""
    question, own = _question(message)
    texts = [m.text for i, m in enumerate(messages) if i != at and m.role != "assistant"]
    asked = message if len(message) <= LONGEST_ASKED else question[:LONGEST_ASKED]
    before = [_words(m) for m in reversed(messages[:at]) if m.role == "user"] if at >= 0 else []
    return Conversation(
        question=question,
        parts=split_clauses(asked) if asked.strip() else (),
        earlier=(asked, *(text[:LONGEST_ASKED] for text in before)),
        at_hand=tuple(one for one in (*(s for text in texts for s in cited(text)), *own) if not FENCE.search(one)),
        instructions="\n".join(m.text for m in messages if m.role in ("system", "developer")),
        called=_called(messages[at + 1 :]),
    )


def read_result(text: str) -> Any:
    """JSON if the text is that, marks around it left out; else the text without the marks."""
    inner = "\n".join(line for line in text.split("\n") if not _MARK_LINE.match(line)).strip()
    starts = [i for i in (inner.find("{"), inner.find("[")) if i >= 0]
    for candidate in (inner, inner[min(starts) :] if starts and inner[-1:] in "}]" else ""):
        if candidate[:1] in ("{", "["):
            try:
                return msgspec.json.decode(candidate)
            except msgspec.DecodeError:
                continue
    return inner


def _words(message: Message) -> str:
    return "\n".join(part.text for part in message.parts if isinstance(part, TextPart))


def _called(messages: Sequence[Message]) -> tuple[CalledTool, ...]:
    parts = [part for message in messages for part in message.parts]
    results = {part.tool_call_id: part.text for part in parts if isinstance(part, ToolResultPart)}
    return tuple(
        CalledTool(part.name, _arguments(part.arguments), results.get(part.id))
        for part in parts
        if isinstance(part, ToolCallPart)
    )


def _arguments(text: str) -> dict[str, Any]:
    try:
        read = msgspec.json.decode(text or "{}")
    except msgspec.DecodeError:
        return {"": text}
    return read if isinstance(read, dict) else {"": text}


def _fields(data: Any, depth: int = 0) -> list[tuple[str, Any]]:
    if depth > 3:
        return []
    if isinstance(data, list):
        return _fields(data[0], depth + 1) if data else []
    if not isinstance(data, dict):
        return []
    plain_ones = [(k, v) for k, v in data.items() if isinstance(v, (str, int, float, bool))]
    return plain_ones + [pair for v in data.values() for pair in _fields(v, depth + 1)]


def _question(message: str) -> tuple[str, list[str]]:
    """(question, the sentences besides it) of the last user message (rule 2)."""
    said = sentences(message)
    asked = [s for s in said if s.endswith("?")] or said[:1]
    return " ".join(asked), [s for s in cited(message) if s not in asked]

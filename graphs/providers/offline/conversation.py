"""A conversation as the rules see it: the question and its parts, the calls made for it and their results, and the quotable
text. Rules 1, 2, 9 and 10 of `provider.py`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from graphs.data_marks import BLOCK, MARK
from graphs.language.clauses import split_clauses
from graphs.providers.contract import Message, TextPart, ToolCallPart, ToolResultPart
from graphs.providers.offline.fill_arguments import normalise_name
from graphs.providers.offline.texts import sentences, sentences_with_sources

MAX_QUESTION_CHARS = 600
"""A message up to this length is all question; of a longer one, only its questions are considered for tools."""

_MARKER_LINE = re.compile(r"^\s*(?:</?[a-zA-Z_][^<>\n]*>|```\w*|-{3,}|={3,})\s*$")


@dataclass(frozen=True)
class CalledTool:
    """A call that was made for the question, and its result (None: none yet)."""

    name: str
    arguments: dict[str, Any]
    result: str | None = None

    @property
    def identity(self) -> tuple[str, bytes]:
        """Equal for equal calls."""
        return self.name, msgspec.json.encode(self.arguments, order="sorted")

    @property
    def data(self) -> Any:
        """The result as JSON, or as text without lines that only mark its beginning and end."""
        return read_result(self.result or "")


@dataclass(frozen=True)
class Conversation:
    """`question` by rule 2; `parts` are its requests; `earlier` are messages in which codes may be found; `quotable` are
    sentences to quote; `system` are the system messages."""

    question: str
    parts: tuple[str, ...]
    earlier: tuple[str, ...]
    quotable: tuple[str, ...]
    system: str
    called: tuple[CalledTool, ...]

    @cached_property
    def instructions(self) -> str:
        """The system messages without the data in them."""
        return BLOCK.sub("", self.system)

    @property
    def answered(self) -> list[CalledTool]:
        """The calls that have results."""
        return [call for call in self.called if call.result is not None]

    @property
    def fields(self) -> Mapping[str, Any]:
        """The scalar values of all results by normalised name; the first of a name counts."""
        found: dict[str, Any] = {}
        for call in self.answered:
            for name, value in _fields(call.data):
                found.setdefault(normalise_name(name), value)
        return found


def read_conversation(messages: Sequence[Message]) -> Conversation:
    """Return what the rules need from a conversation."""
    last_user = max((i for i, m in enumerate(messages) if m.role == "user"), default=-1)
    message = _words(messages[last_user]) if last_user >= 0 else ""
    question, context = _question(message)
    texts = [m.text for i, m in enumerate(messages) if i != last_user and m.role != "assistant"]
    question_text = message if len(message) <= MAX_QUESTION_CHARS else question[:MAX_QUESTION_CHARS]
    before = [_words(m) for m in reversed(messages[:last_user]) if m.role == "user"] if last_user >= 0 else []
    return Conversation(
        question=question,
        parts=split_clauses(question_text) if question_text.strip() else (),
        earlier=(question_text, *(text[:MAX_QUESTION_CHARS] for text in before)),
        quotable=tuple(
            one
            for one in (*(s for text in texts for s in sentences_with_sources(text)), *context)
            if not MARK.search(one)
        ),
        system="\n".join(m.text for m in messages if m.role in ("system", "developer")),
        called=_called(messages[last_user + 1 :]),
    )


def read_result(text: str) -> Any:
    """Return the JSON value if the text is JSON, ignoring marks around it; else the text without the marks."""
    inner = "\n".join(line for line in text.split("\n") if not _MARKER_LINE.match(line)).strip()
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
    scalars = [(k, v) for k, v in data.items() if isinstance(v, (str, int, float, bool))]
    return scalars + [pair for v in data.values() for pair in _fields(v, depth + 1)]


def _question(message: str) -> tuple[str, list[str]]:
    """Return the question in the last user message and its other sentences (rule 2)."""
    all_sentences = sentences(message)
    questions = [s for s in all_sentences if s.endswith("?")] or all_sentences[:1]
    return " ".join(questions), [s for s in sentences_with_sources(message) if s not in questions]

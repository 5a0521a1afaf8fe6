"""Calls that a model writes as its answer although it was offered tools natively: read as the calls they are.

Small models write `{"name": …, "arguments": …}`, bare, in a fence or in `<tool_call>`, where their server expects another
form, and the server passes it on as text. Only a whole answer counts, of calls by the names of offered tools, with arguments
that fit their schemas: an answer that shows a call among its words is an answer. Text is held back only while it may be such.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from graphs.providers.calls.ids import make_call_id
from graphs.providers.contract import Delta, Message, TextDelta, ToolCallDelta
from graphs.providers.prompted_tools.reader import MAX_BLOCK_CHARS, Call, read_calls, starts_like_a_call
from schema.errors import HeadraceError
from tools.arguments import read_arguments
from tools.parameter_schema import check_schema

_MARKS = ("<tool_call>", "<|python_tag|>", "[TOOL_CALLS]")
_FENCE = re.compile(r"```[\w-]*\s*")
_OUTER_FENCE = re.compile(r"```[\w-]*\s(.*?)\s*```", re.DOTALL)
_ALL_MARKS = re.compile(r"```[\w-]*|</?tool_call>|<\|python_tag\|>|\[TOOL_CALLS\]")
_NAME = re.compile(r'\[?\{"(?:name|tool|tool_name|function)":"([^"]*)("?)')


class WrittenCalls:
    """The state of one answer: chunks of text in, deltas out, and at the end `finish`."""

    def __init__(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]], *, parallel: bool = True) -> None:
        self.calls = 0
        self._messages, self._parallel = messages, parallel
        self._schemas: Mapping[str, dict[str, Any]] = {
            str(function.get("name", "")): function.get("parameters") or {}
            for tool in tools
            if isinstance(function := tool.get("function"), dict)
        }
        self._buffer = ""
        self._is_text = False

    def feed(self, text: str) -> list[Delta]:
        """Return the deltas that are certain after this chunk."""
        if self._is_text:
            return [TextDelta(text)]
        self._buffer += text
        return [] if self._may_be_calls() else self.give_up()

    def give_up(self) -> list[Delta]:
        """Return what was held back as text: this answer is none of calls."""
        self._is_text = True
        text, self._buffer = self._buffer, ""
        return [TextDelta(text)] if text else []

    def finish(self) -> list[Delta]:
        """Return what was held back, as calls if it is some."""
        found = [] if self._is_text else self._read(self._buffer.strip())
        if not found:
            return self.give_up()
        self._buffer = ""
        shown = found if self._parallel else found[:1]
        self.calls = len(shown)
        return [
            ToolCallDelta(number, make_call_id(self._messages, number), name, arguments)
            for number, (name, arguments) in enumerate(shown)
        ]

    def _may_be_calls(self) -> bool:
        if len(self._buffer) > MAX_BLOCK_CHARS:
            return False
        said = self._buffer.lstrip()
        for mark in _MARKS:
            if mark.startswith(said):
                return True
            said = said.removeprefix(mark).lstrip()
        if "```".startswith(said):
            return True
        if fence := _FENCE.match(said):
            said = said[fence.end() :]
        compact = "".join(said[:300].split()).replace("'", '"')
        if name := _NAME.match(compact):
            return name[1] in self._schemas if name[2] else any(one.startswith(name[1]) for one in self._schemas)
        return starts_like_a_call(compact)

    def _read(self, text: str) -> list[Call]:
        fenced = _OUTER_FENCE.fullmatch(text)
        for inner in (fenced[1] if fenced else text, _ALL_MARKS.sub("\n", text)):
            calls = read_calls(inner)
            if calls and all(self._fits(name, arguments) for name, arguments in calls):
                return calls
        return []

    def _fits(self, name: str, arguments: str) -> bool:
        schema = self._schemas.get(name)
        if schema is None:
            return False
        try:
            check_schema(schema)
            read_arguments(arguments, schema)
        except HeadraceError:
            return False
        return True

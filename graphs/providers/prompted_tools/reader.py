"""Parses what a model writes in the protocol of `provider.py` into text and tool calls, as it arrives.

The result doesn't depend on how the text was split into chunks. Text is held back only while it may be the start of a block.
A block is one of

    ```tool_call … ```             as instructed; also `tool_calls` and `tool`
    <tool_call> … </tool_call>     the habit of Qwen and Hermes; either closing mark ends either block
    ```json … ``` or ``` … ```     only around an object that calls an offered tool
    {"name": …}                    bare, at the start of an answer or after a block, if it calls an offered tool

and contains one object, several, or a list. A closing mark counts only if what precedes it can be parsed, so code in an
argument may contain the marks; at the end of the answer it may be missing. What can't be parsed is text.
"""

import re
from collections.abc import Collection, Sequence
from typing import Any, Literal

import msgspec

from graphs.providers.calls.ids import make_call_id
from graphs.providers.contract import Delta, Message, TextDelta, ToolCallDelta
from graphs.providers.lenient_json import read_values

MAX_BLOCK_CHARS = 64 * 1024
MAX_CLOSING_MARKS = 40
"""Closing marks that are tried before a block counts as text."""

_MARKS = ("```", "<tool_call>", "<tool_result")
_MARK = re.compile("|".join(_MARKS))
_FENCE_LANGUAGE = re.compile(r"[ \t]*([\w-]*)")
_CALL_LANGUAGES = frozenset({"tool_call", "tool_calls", "tool"})
_CLOSING = re.compile(r"```|</tool_call>")
_BRACE = re.compile(r"\}")
_NAME_KEYS = ("name", "tool", "tool_name", "function")
_CALL_STARTS = tuple(f'{start}"{key}":' for start in ("{", "[{") for key in _NAME_KEYS)

Call = tuple[str, str]
State = Literal["text", "fence", "head", "block", "code", "over"]


def read_calls(text: str) -> list[Call] | None:
    """Return (name, arguments as JSON) of each call in a block; None if it contains anything but calls."""
    try:
        values = read_values(text)
    except ValueError:
        return None
    flat = [one for value in values for one in (value if isinstance(value, list) else [value])]
    calls = [call for value in flat if (call := _call(value)) is not None]
    return calls if calls and len(calls) == len(flat) else None


def _call(value: Any) -> Call | None:
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict):
        return None
    name = next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), "")
    arguments = next((value[key] for key in ("arguments", "parameters", "args", "input") if key in value), {})
    if isinstance(arguments, str):  # JSON within JSON, as in OpenAI's wire format
        try:
            read = read_values(arguments)
        except ValueError:
            return None
        arguments = read[0] if len(read) == 1 else {} if not read else None
    arguments = {} if arguments is None and name else arguments
    if not name or not isinstance(arguments, dict):
        return None
    return name.strip(), msgspec.json.encode(arguments).decode()


def starts_like_a_call(compact: str) -> bool:
    """Whether a text without blanks, with double quotes, begins as a call does, or may do so with more of it."""
    return compact.startswith(_CALL_STARTS) or any(head.startswith(compact) for head in _CALL_STARTS)


class PromptedToolsReader:
    """The state of one answer: chunks of text in, deltas out, and at the end `finish`."""

    def __init__(self, messages: Sequence[Message], tools: Collection[str], *, parallel: bool = True) -> None:
        self.calls = 0
        self._messages, self._tools, self._parallel = messages, tools, parallel
        self._state: State = "text"
        self._buffer = ""
        self._opening = ""  # what opened the block, emitted as text if it turns out to be none
        self._inside_code = self._offered_only = self._bare = False
        self._at_start = True  # no text since the start, or since a block
        self._searched = self._tries = 0
        self._space = ""  # white space that is text only if text follows
        self._has_emitted_text = False
        self._out: list[Delta] = []

    def feed(self, text: str) -> list[Delta]:
        """Return the deltas that are certain after this chunk."""
        self._buffer += text
        return self._run(final=False)

    def finish(self) -> list[Delta]:
        """Return what was held back."""
        deltas = self._run(final=True)
        if self._space and (self.calls == 0 or not self._at_start):
            deltas.append(TextDelta(self._space))
        return deltas

    def _run(self, *, final: bool) -> list[Delta]:
        steps = {
            "text": self._text,
            "fence": self._fence,
            "head": self._head,
            "block": self._block,
            "code": self._code,
            "over": self._over,
        }
        while steps[self._state](final):
            pass
        deltas, self._out = self._out, []
        return deltas

    def _text(self, final: bool) -> bool:
        """Text, up to the next mark. Every step returns whether another step can follow now."""
        if self._at_start:
            may_be_call = self._may_be_call(final)
            if may_be_call is None:
                return False
            if may_be_call:
                self._open("", bare=True)
                return True
        mark = _MARK.search(self._buffer)
        if mark is None:
            self._emit_text(len(self._buffer) - (0 if final else self._start_of_mark()))
            return False
        self._emit_text(mark.start())
        if mark[0] == "```":
            self._opening, self._buffer, self._state = "```", self._buffer[3:], "fence"
        elif mark[0] == "<tool_call>":
            self._open(mark[0])
        elif self.calls:
            self._state = "over"  # the model is making results up
        else:
            self._emit_text(len(mark[0]))
        return True

    def _start_of_mark(self) -> int:
        """Return how many characters at the end may be the start of a mark."""
        tail = self._buffer[-12:]
        sizes = range(min(len(tail), 12), 0, -1)
        return next((n for n in sizes if any(mark.startswith(tail[-n:]) for mark in _MARKS)), 0)

    def _may_be_call(self, final: bool) -> bool | None:
        """Whether the buffer starts like a bare call; None if more text is needed to tell."""
        compact = "".join(self._buffer.lstrip()[:200].split()).replace("'", '"')
        if compact.startswith(_CALL_STARTS):
            return True
        return None if not final and starts_like_a_call(compact) else False

    def _fence(self, final: bool) -> bool:
        """After three backticks: look at the word that follows."""
        word = _FENCE_LANGUAGE.match(self._buffer)
        assert word is not None
        if word.end() == len(self._buffer) and not final:
            return False
        if word[1] in _CALL_LANGUAGES:
            self._opening += word[0]
            self._buffer = self._buffer[word.end() :]
            self._open(self._opening)
        elif self._inside_code:
            self._leave("text", inside_code=False)
        elif word[1] in ("", "json"):
            self._opening += word[0]
            self._buffer, self._state = self._buffer[word.end() :], "head"
        else:
            self._leave("code", inside_code=True)
        return True

    def _head(self, final: bool) -> bool:
        """After a fence that may contain anything: see whether it starts like a call."""
        may_be_call = self._may_be_call(final)
        if may_be_call is None:
            return False
        if may_be_call:
            self._open(self._opening, offered_only=True)
        else:
            self._leave("code", inside_code=True)
        return True

    def _code(self, final: bool) -> bool:
        at = self._buffer.find("```")
        if at < 0:
            ticks = len(self._buffer) - len(self._buffer.rstrip("`"))
            self._emit_text(len(self._buffer) - (0 if final else min(ticks, 2)))
            return False
        self._emit_text(at)
        self._opening, self._buffer, self._state = "```", self._buffer[3:], "fence"
        return True

    def _over(self, final: bool) -> bool:
        self._buffer = ""
        return False

    def _open(self, opening: str, *, bare: bool = False, offered_only: bool = False) -> None:
        if opening == "<tool_call>":
            self._buffer = self._buffer[len(opening) :]
        self._opening, self._state = opening, "block"
        self._bare, self._offered_only = bare, bare or offered_only
        self._inside_code, self._searched, self._tries = False, 0, 0

    def _block(self, final: bool) -> bool:
        closing = _BRACE if self._bare else _CLOSING
        for mark in closing.finditer(self._buffer, self._searched, MAX_BLOCK_CHARS):
            self._searched = mark.end() if self._bare else mark.start() + 1
            inner = self._buffer[: mark.end() if self._bare else mark.start()]
            if self._bare and inner.count("{") > inner.count("}"):
                continue
            if self._accept(inner):
                self._buffer, self._state, self._at_start = self._buffer[mark.end() :], "text", True
                return True
            self._tries += 1
            if self._tries >= MAX_CLOSING_MARKS or (self._offered_only and read_calls(inner) is not None):
                return self._give_up()
        if not final and len(self._buffer) <= MAX_BLOCK_CHARS:
            return False
        if final and len(self._buffer) <= MAX_BLOCK_CHARS and self._accept(self._buffer):
            self._buffer, self._state, self._at_start = "", "text", True
            return False
        return self._give_up()

    def _accept(self, inner: str) -> bool:
        """Emit the calls if this is a block of calls; return whether it is."""
        calls = read_calls(inner)
        if calls is None or (self._offered_only and any(name not in self._tools for name, _ in calls)):
            return False
        self._space = ""
        for name, arguments in calls:
            if self._parallel or not self.calls:
                call_id = make_call_id(self._messages, self.calls)
                self._out.append(ToolCallDelta(self.calls, call_id, name, arguments))
                self.calls += 1
        return True

    def _give_up(self) -> bool:
        """Not a block: its opening is text, and what follows is parsed again."""
        fenced = self._opening.startswith("```")
        self._leave("code" if fenced else "text", inside_code=fenced)
        return True

    def _leave(self, state: State, *, inside_code: bool) -> None:
        self._buffer = self._opening + self._buffer
        self._at_start = False
        self._emit_text(len(self._opening))
        self._state, self._inside_code = state, inside_code

    def _emit_text(self, size: int) -> None:
        """Emit the first `size` characters of the buffer as text."""
        text, self._buffer = self._space + self._buffer[:size], self._buffer[size:]
        shown = text.rstrip()
        self._space = text[len(shown) :]
        if not shown:
            return
        if self.calls and not self._has_emitted_text:
            shown = shown.lstrip()
        self._has_emitted_text, self._at_start = True, False
        self._out.append(TextDelta(shown))

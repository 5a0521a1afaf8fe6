"""Parses the JSON that small models write: single quotes, trailing commas, bare keys, Python's True and None, line breaks in
strings. Strict JSON is parsed as usual. Not for: what programs send (msgspec parses that).
"""

import json
import re
from typing import Any

MAX_DEPTH = 40
_SPACE = re.compile(r"\s*")
_BARE = re.compile(r"[A-Za-z_][\w.-]*|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_LITERALS: dict[str, Any] = {"true": True, "false": False, "null": None, "none": None}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def read_values(text: str) -> list[Any]:
    """Return all values of a text, with or without commas between them. Raises ValueError for anything else."""
    reader, values = _Reader(text), []
    while not reader.at_end():
        values.append(reader.value(0))
        reader.skip(",;")
    return values


class _Reader:
    """A position in a text; each method reads from it and advances it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def at_end(self) -> bool:
        return self._peek() == ""

    def skip(self, chars: str) -> bool:
        """Skip the next character if it is one of these; return whether it was."""
        found = self._peek() != "" and self._peek() in chars
        self._position += found
        return found

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
        if self.skip("{"):
            return self._object(depth)
        if self.skip("["):
            return self._array(depth)
        if (quote := self._peek()) in ('"', "'") and quote:
            return self._string(quote)
        return self._bare()

    def _peek(self) -> str:
        space = _SPACE.match(self._text, self._position)
        self._position = space.end() if space else self._position
        return self._text[self._position : self._position + 1]

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not self.skip("}"):
            key = self._string(self._peek()) if self._peek() in ('"', "'") else str(self._bare(literals={}))
            if not self.skip(":"):
                raise ValueError("a colon is missing")
            found[key] = self.value(depth + 1)
            if not self.skip(",") and self._peek() != "}":
                raise ValueError("a comma is missing")
        return found

    def _array(self, depth: int) -> list[Any]:
        found = []
        while not self.skip("]"):
            found.append(self.value(depth + 1))
            if not self.skip(",") and self._peek() != "]":
                raise ValueError("a comma is missing")
        return found

    def _string(self, quote: str) -> str:
        """Inside single quotes, an apostrophe between two letters doesn't end the string: {'name': 'don't'}."""
        self._position += 1
        pieces: list[str] = []
        while (char := self._text[self._position : self._position + 1]) != "":
            self._position += 1
            if char == "\\":
                pieces.append(self._escape())
            elif char == quote and not (quote == "'" and self._between_letters()):
                return "".join(pieces)
            else:
                pieces.append(char)
        raise ValueError("a string does not end")

    def _between_letters(self) -> bool:
        return self._text[self._position - 2].isalpha() and self._text[self._position : self._position + 1].isalpha()

    def _escape(self) -> str:
        char = self._text[self._position : self._position + 1]
        self._position += 1
        if char != "u":
            return _ESCAPES.get(char, char)
        code = re.compile(r"[0-9a-fA-F]{4}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})?").match(self._text, self._position)
        if code is None:
            raise ValueError("an escape is cut off")
        self._position = code.end()
        return str(json.loads(f'"\\u{code[0]}"')).encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _bare(self, literals: dict[str, Any] = _LITERALS) -> Any:
        match = _BARE.match(self._text, self._position) if self._peek() else None
        if match is None:
            raise ValueError("a value is missing")
        self._position, word = match.end(), match[0]
        if word.lower() in literals:
            return literals[word.lower()]
        if word[0] in "-0123456789":
            number = word.lstrip("-")
            if number.startswith("0") and number[1:2].isdigit():
                return word  # a code, such as 0104985841: its first digit must not be lost
            return json.loads(word)
        if literals:
            raise ValueError("a word without quotes")
        return word

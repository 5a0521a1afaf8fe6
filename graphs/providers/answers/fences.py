"""Takes the fence off an answer that was to be JSON alone: models write ```json around it where no server enforces the form."""

import re

FENCE = "```"
_OPENING = re.compile(r"\s*```[ \t]*(?:[A-Za-z]+[ \t]*(?:\n|(?=[\[{]))|(?=[\s\[{]))\s*")
_MAY_OPEN = re.compile(r"\s*(?:`{0,2}|```[ \t]*[A-Za-z]*[ \t]*)")
_TAIL = re.compile(r"\s*`{0,3}\s*\Z")
_CLOSING = re.compile(r"\s*```\s*\Z")


class FenceRemover:
    """The state of one answer: chunks of text in, text without the fence out."""

    def __init__(self) -> None:
        self._buffer = ""
        self._at_start, self._is_fenced = True, False

    def feed(self, text: str) -> str:
        """Return the text that is certain after this chunk."""
        self._buffer += text
        if self._at_start and not self._begin():
            return ""
        if not self._is_fenced:
            return self._take(len(self._buffer))
        tail = _TAIL.search(self._buffer)
        return self._take(tail.start() if tail else len(self._buffer))

    def finish(self) -> str:
        """Return what was held back, without the fence at its end."""
        rest, self._buffer = self._buffer, ""
        return _CLOSING.sub("", rest) if self._is_fenced else rest

    def _begin(self) -> bool:
        if _MAY_OPEN.fullmatch(self._buffer):
            return False
        self._at_start = False
        if opening := _OPENING.match(self._buffer):
            self._is_fenced, self._buffer = True, self._buffer[opening.end() :]
        return True

    def _take(self, size: int) -> str:
        text, self._buffer = self._buffer[:size], self._buffer[size:]
        return text

"""Reads the file of a batch: one request a line, `{"custom_id": …, "method": "POST", "url": …, "body": {…}}`.

A file is checked as a whole before anything of it is called, and everything that is wrong with it is said at once, by line.
What only the route can know, such as whether there is such a model, is the answer of that line.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from schema.queries.batches.batches import NewLine
from schema.repeated_keys import TooManyKeys, find_repeated_key

ENDPOINTS = ("/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/completions")
"""The routes that a batch may call."""
MAX_LINES = 50_000
MAX_LINE_BYTES = 16 * 1024 * 1024
MAX_CUSTOM_ID = 512
MAX_ERRORS = 100

KNOWN = frozenset({"custom_id", "method", "url", "body"})
BLANK = b" \t\r\n"
BOM = b"\xef\xbb\xbf"

_split = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class LineError(msgspec.Struct, frozen=True):
    """What is wrong with a file, as OpenAI's API says it: `line` is a number from 1, `param` a field of the line."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class _Wrong(Exception):
    """What is wrong with a line."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.param = code, param


class _Waiting(msgspec.Struct, frozen=True):
    """What a body must not ask for, since nobody waits for it."""

    stream: Any = None
    background: Any = None


def check_file(path: Path, endpoint: str) -> tuple[int, list[LineError]]:
    """Return how many requests a file has, and what is wrong with it."""
    seen, errors, total = dict[str, int](), list[LineError](), 0
    for place, line in _numbered(path):
        total += 1
        if total > MAX_LINES:
            return total, [LineError("too_many_requests", f"A batch has at most {MAX_LINES:,} requests.", place)]
        found = _read(line, place, endpoint)
        if isinstance(found, NewLine):
            first = seen.setdefault(found.custom_id, place)
            if first != place:
                message = f"custom_id {found.custom_id[:80]!r} is that of line {first}. Each must be there once."
                found = LineError("duplicate_custom_id", message, place, "custom_id")
        if isinstance(found, LineError):
            errors.append(found)
            if len(errors) == MAX_ERRORS:
                return total, errors
    if not total:
        errors.append(LineError("empty_file", "The file has no requests. Send one a line, as JSON."))
    return total, errors


def read_lines(path: Path, endpoint: str, *, at_once: int) -> Iterator[list[NewLine]]:
    """Yield the requests of a file that has been checked, some at a time."""
    page: list[NewLine] = []
    for place, line in _numbered(path):
        found = _read(line, place, endpoint)
        if isinstance(found, NewLine):
            page.append(found)
        if len(page) == at_once:
            yield page
            page = []
    if page:
        yield page


def _numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that aren't blank, by their numbers. Of one that is too long, its beginning."""
    with path.open("rb") as file:
        place = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            place += 1
            whole = line
            while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE_BYTES + 1)
            whole = whole.removeprefix(BOM).strip(BLANK) if place == 1 else whole.strip(BLANK)
            if whole:
                yield place, whole


def _read(line: bytes, place: int, endpoint: str) -> NewLine | LineError:
    try:
        return _parse(line, place, endpoint)
    except _Wrong as wrong:
        return LineError(wrong.code, str(wrong), place, wrong.param)


def _parse(line: bytes, place: int, endpoint: str) -> NewLine:
    if len(line) > MAX_LINE_BYTES:
        raise _Wrong("line_too_long", f"A line has at most {MAX_LINE_BYTES:,} bytes.")
    try:
        fields = _split(line.decode())  # msgspec doesn't look into what it splits off
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _Wrong("invalid_json_line", "This line is not a JSON object.") from None
    try:
        repeated = find_repeated_key(line)
    except TooManyKeys as error:
        raise _Wrong("unknown_parameter", str(error)) from None
    if repeated is not None:
        raise _Wrong("repeated_parameter", f"{repeated[:80]!r} is there twice. Send each key once.", repeated[:80])
    values = {name: _value(raw) for name, raw in fields.items() if name in ("custom_id", "method", "url")}
    custom_id = values.get("custom_id")
    if custom_id is None:
        raise _Wrong("missing_required_parameter", "custom_id is required.", "custom_id")
    if not isinstance(custom_id, str) or not 1 <= len(custom_id) <= MAX_CUSTOM_ID or "\0" in custom_id:
        message = f"custom_id must be a text of 1 to {MAX_CUSTOM_ID} characters, without U+0000."
        raise _Wrong("invalid_custom_id", message, "custom_id")
    if values.get("method") != "POST":
        raise _Wrong("invalid_method", "method must be POST.", "method")
    if values.get("url") != endpoint:
        raise _Wrong("mismatched_endpoint", f"url must be {endpoint}, the batch's endpoint.", "url")
    for name in fields.keys() - KNOWN:
        raise _Wrong("unknown_parameter", f"Unknown field {name[:80]!r}.", name[:80])
    return NewLine(place, custom_id, _body(fields.get("body")))


def _body(body: msgspec.Raw | None) -> str:
    try:
        asked = msgspec.json.decode(body or b"", type=_Waiting)
    except (msgspec.MsgspecError, RecursionError):
        raise _Wrong("invalid_body", "body must be an object: the request, as the route takes it.", "body") from None
    for name in ("stream", "background"):
        if getattr(asked, name):
            message = f"body.{name} must be left out: nobody waits for the answer to a line."
            raise _Wrong("invalid_body", message, f"body.{name}")
    return bytes(body or b"").decode()


def _value(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return None

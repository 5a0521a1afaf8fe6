"""Parsers for Server-Sent Events and lines of JSON: bytes in as they arrive, complete payloads out.

Only the part of SSE that model vendors use: the `data` field, and `event: error`. `id`, `retry` and comments are skipped; an
`error:` line (from llama.cpp) counts as data. Servers that ignore `stream` send one JSON object instead, on one line or many,
and some send an error so in the middle of a stream: that is a payload too. What is neither is kept in `foreign`, for an error
message: page of a proxy, or plain text as data, with which some servers keep a connection open.
"""

import msgspec

from graphs.providers.errors import ProviderInvalidResponse, safe_excerpt

MAX_LINE_BYTES = 16 * 1024 * 1024
MAX_FOREIGN_BYTES = 2000
BOM = b"\xef\xbb\xbf"
_SKIPPED = (b":", b"id", b"retry")
_PLAIN = b"data: {"
_is_json = msgspec.json.Decoder(msgspec.Raw).decode


class LineSplitter:
    """Splits chunks into lines, which may end in `\\n`, `\\r\\n` or `\\r`; an unfinished last line is held back."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._tail = b""
        self._is_first, self._after_return = True, False

    @property
    def is_between_lines(self) -> bool:
        """Whether nothing is held back, and a piece begins a line as it is."""
        return not (self._tail or self._is_first or self._after_return)

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that are complete now, without their ends."""
        if self._after_return and piece[:1] == b"\n":
            piece = piece[1:]
        if piece:
            self._after_return = piece[-1:] == b"\r"
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = (self._tail + piece if self._tail else piece).split(b"\n")
        self._tail = lines.pop()
        if len(self._tail) > MAX_LINE_BYTES:
            raise ProviderInvalidResponse(f"{self._provider} sent a line of more than {MAX_LINE_BYTES >> 20} MiB.")
        if lines and self._is_first:
            self._is_first, lines[0] = False, lines[0].removeprefix(BOM)
        return lines

    def flush(self) -> bytes:
        """Return what is left at the end of the stream: a last line without a line break, or nothing."""
        tail, self._tail = self._tail, b""
        return tail.removeprefix(BOM) if self._is_first else tail


class JsonSplitter:
    """Splits chunks into JSON objects, one a line as a rule (NDJSON). One that is spread over lines is put together, and a
    `data:` before it is taken off."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._lines = LineSplitter(provider)
        self._object = ObjectLines(provider)
        self._foreign = b""

    @property
    def foreign(self) -> str:
        """What came and was none, for an error message; empty if nothing did."""
        return describe_foreign(self._foreign)

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the objects that are complete now."""
        return [payload for line in self._lines.feed(piece) for payload in self._take(line)]

    def flush(self) -> list[bytes]:
        """Return what is left at the end of the stream."""
        return [*self._take(self._lines.flush()), *self._object.flush()]

    def _take(self, line: bytes) -> list[bytes]:
        said = line.removeprefix(b"data:").strip()
        if not said or said == b"[DONE]":
            return []
        if not self._object.is_open and said[:1] != b"{":
            self._foreign = keep_foreign(self._foreign, said)
            return []
        return self._object.add(said)


class SseSplitter:
    """Splits chunks into the payloads of SSE events; several `data` lines of an event are joined, as the standard says, unless
    each is an object: some servers leave out the empty line between two events."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._lines = LineSplitter(provider)
        self._data: list[bytes] = []
        self._is_error = False
        self._object = ObjectLines(provider)
        self._foreign = b""
        self._is_between_events = False

    @property
    def foreign(self) -> str:
        """What came and was no event, for an error message; empty if nothing did."""
        return describe_foreign(self._foreign)

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the payloads of the events that are complete now."""
        if self._is_between_events and (plain := _read_plain(piece)) is not None:
            return plain
        payloads: list[bytes] = []
        for line in self._lines.feed(piece):
            self._take(line, payloads)
        is_open = self._data or self._is_error or self._object.is_open
        self._is_between_events = self._lines.is_between_lines and not is_open
        return payloads

    def flush(self) -> list[bytes]:
        """Return what is left at the end of the stream: an event without its closing empty line (some vendors' `[DONE]`)."""
        payloads: list[bytes] = []
        for line in (self._lines.flush(), b""):
            self._take(line, payloads)
        return payloads + self._object.flush()

    def _take(self, line: bytes, payloads: list[bytes]) -> None:
        if line.startswith(b"data:"):
            data = line[6:] if line.startswith(b"data: ") else line[5:]
            if self._data and self._data[-1].endswith(b"}") and data[:1] in (b"{", b"["):
                self._dispatch(payloads)
            self._data.append(data)
        elif self._object.is_open:
            payloads += self._object.add(line)
        elif not line:
            self._dispatch(payloads)
        elif line.startswith(b"error:"):
            payloads.append(b'{"error":' + line[6:] + b"}")
        elif line.startswith(b"event"):
            self._is_error = line.partition(b":")[2].strip() == b"error"
        elif line.lstrip()[:1] in (b"{", b"["):
            payloads += self._object.add(line)
        elif not line.startswith(_SKIPPED):
            self._foreign = keep_foreign(self._foreign, line)

    def _dispatch(self, payloads: list[bytes]) -> None:
        """Emit the event that is complete. Plain text isn't one, unless it is an error's."""
        if not self._data:
            return
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data.clear()
        if self._is_error:
            self._is_error = False
            payloads.append(_as_error(data))
        elif data[:1] in (b"{", b"[") or data.lstrip()[:1] in (b"{", b"["):
            payloads.append(data)
        else:
            self._foreign = keep_foreign(self._foreign, data)


class ObjectLines:
    """Puts a JSON object or list together that is spread over lines."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def is_open(self) -> bool:
        """Whether one has begun and not ended."""
        return bool(self._pieces)

    def add(self, line: bytes) -> list[bytes]:
        """Return the object, if it is complete with this line. Only a line that may be its last is tried."""
        self._pieces.append(line)
        self._size += len(line)
        if self._size > MAX_LINE_BYTES:
            raise ProviderInvalidResponse(f"{self._provider} sent more than {MAX_LINE_BYTES >> 20} MiB at once.")
        if len(self._pieces) > 1 and line[:1] not in (b"}", b"]"):
            return []
        whole = b"\n".join(self._pieces)
        # A single line that is no JSON may be broken, which `json_payloads.py` can read, or the first of many.
        if not (_parses(whole) or (len(self._pieces) == 1 and len(line) > 2 and line.rstrip()[-1:] in (b"}", b"]"))):
            return []
        return self._take()

    def flush(self) -> list[bytes]:
        """Return what was begun and never ended."""
        return self._take() if self._pieces else []

    def _take(self) -> list[bytes]:
        whole = b"\n".join(self._pieces)
        self._pieces, self._size = [], 0
        return [whole]


def _read_plain(piece: bytes) -> list[bytes] | None:
    """Return the payloads of a piece that is whole events of one line of data each, as nearly every piece is; None for any
    other. Line by line, an event takes twice as long."""
    if piece[-2:] != b"\n\n" or piece[:7] != _PLAIN or b"\r" in piece:
        return None
    lines = piece.count(b"\n")
    if lines == 2:
        return [piece[6:-2]]
    events = piece[:-2].split(b"\n\n")
    if lines != 2 * len(events) or not all(event.startswith(_PLAIN) for event in events):
        return None
    return [event[6:] for event in events]


def keep_foreign(kept: bytes, more: bytes) -> bytes:
    """Return the beginning of what was not understood."""
    return kept if len(kept) >= MAX_FOREIGN_BYTES else (kept + b" " + more)[:MAX_FOREIGN_BYTES]


def describe_foreign(kept: bytes) -> str:
    """Return it as text for an error, without the code of a page."""
    text = kept.decode("utf-8", "replace").strip()
    return "a page of HTML" if text.startswith("<") else safe_excerpt(text)


def _parses(data: bytes) -> bool:
    try:
        _is_json(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _as_error(data: bytes) -> bytes:
    """Return the data of `event: error` as a payload whose field `error` says what it was."""
    if data.lstrip()[:1] != b"{":
        return msgspec.json.encode({"error": data.decode("utf-8", "replace")})
    return data if b'"error"' in data else b'{"error":' + data + b"}"

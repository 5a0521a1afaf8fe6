"""Parsers for Server-Sent Events and NDJSON: bytes in as they arrive, complete payloads out.

Only the part of SSE that model vendors use: the `data` field. `event`, `id`, `retry` and comments are skipped; an `error:`
line (from llama.cpp) counts as data. Anything else is not SSE and raises.
"""

from graphs.providers.errors import ProviderInvalidResponse

MAX_LINE_BYTES = 16 * 1024 * 1024
_SKIPPED = (b":", b"event", b"id", b"retry")


class LineSplitter:
    """Splits chunks into lines; an unfinished last line is held back."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._tail = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that are complete now, without `\\n`; a `\\r` before it stays."""
        lines = (self._tail + piece if self._tail else piece).split(b"\n")
        self._tail = lines.pop()
        if len(self._tail) > MAX_LINE_BYTES:
            raise ProviderInvalidResponse(f"{self._provider} sent a line of more than {MAX_LINE_BYTES >> 20} MiB.")
        return lines

    def flush(self) -> bytes:
        """Return what is left at the end of the stream: a last line without a line break, or nothing."""
        tail, self._tail = self._tail, b""
        return tail


class SseSplitter:
    """Splits chunks into the payloads of SSE events; several `data` lines of an event are joined, as the standard says."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._lines = LineSplitter(provider)
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the payloads of the events that are complete now."""
        payloads: list[bytes] = []
        for line in self._lines.feed(piece):
            self._take(line, payloads)
        return payloads

    def flush(self) -> list[bytes]:
        """Return what is left at the end of the stream: an event without its closing empty line (some vendors' `[DONE]`)."""
        payloads: list[bytes] = []
        for line in (self._lines.flush(), b""):
            self._take(line, payloads)
        return payloads

    def _take(self, line: bytes, payloads: list[bytes]) -> None:
        if line.endswith(b"\r"):
            line = line[:-1]
        if not line:
            if self._data:
                payloads.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data.clear()
        elif line.startswith(b"data:"):
            self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
        elif line.startswith(b"error:"):
            payloads.append(b'{"error":' + line[6:] + b"}")
        elif not line.startswith(_SKIPPED):
            raise ProviderInvalidResponse(f"{self._provider} sent something that is not an event stream.")

"""Server-Sent Events and NDJSON taken apart: bytes in as they arrive, whole payloads out.

Only what model vendors use of SSE: the `data` field. `event`, `id`, `retry` and comments are skipped; an `error:`
line (llama.cpp writes one) counts as data. Anything else is not SSE and raises.
"""

from graphs.providers.errors import ProviderInvalidResponse

LINE_LIMIT = 16 * 1024 * 1024
_SKIPPED = (b":", b"event", b"id", b"retry")


class LineSplitter:
    """Whole lines from pieces that are cut anywhere; the unfinished last line waits for its rest."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._tail = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that are complete now, without their `\\n`; a `\\r` before it stays."""
        lines = (self._tail + piece if self._tail else piece).split(b"\n")
        self._tail = lines.pop()
        if len(self._tail) > LINE_LIMIT:
            raise ProviderInvalidResponse(f"{self._provider} sent a line of more than {LINE_LIMIT >> 20} MiB.")
        return lines

    def rest(self) -> bytes:
        """What is left when the stream has ended: a last line without a line break, or nothing."""
        tail, self._tail = self._tail, b""
        return tail


class SseSplitter:
    """Payloads of SSE events; several `data` lines of one event are joined as the standard says."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._lines = LineSplitter(provider)
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """The payloads of the events that are complete now."""
        payloads: list[bytes] = []
        for line in self._lines.feed(piece):
            self._take(line, payloads)
        return payloads

    def rest(self) -> list[bytes]:
        """At the end of the stream: an event whose closing empty line never came (some vendors' `[DONE]`)."""
        payloads: list[bytes] = []
        for line in (self._lines.rest(), b""):
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

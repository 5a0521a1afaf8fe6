"""Reads a streamed answer of server-sent events, whatever protocol is in them: bytes to payloads to deltas, under the watchdog.

    VendorStream ─bytes─▶ splitter ─payloads─▶ AnswerReader of the protocol ─deltas─▶ caller

Not for: what a payload means (the `AnswerReader`s), and opening the stream (`vendor_client.py`).
"""

from collections.abc import AsyncGenerator
from typing import Any, Protocol

from graphs.providers.contract import (
    Delta,
    ExtraDelta,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from graphs.providers.errors import ProviderInvalidResponse, ProviderStalled, ProviderStreamCut
from graphs.providers.http.vendor_client import VendorStream
from graphs.providers.reported import storable
from schema.errors import ProviderError


class Splitter(Protocol):
    """Cuts bytes into payloads."""

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the payloads that are complete now."""
        ...

    def flush(self) -> list[bytes]:
        """Return what is left at the end of the stream."""
        ...


class AnswerReader:
    """The state of one answer. A protocol says what a payload means (`take`) and what the end is (`finish`).

    `complete`: the answer is whole, and only usage may follow. `ended`: nothing more is read.
    """

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.complete = False
        self.ended = False
        self.chars = 0
        self.calls = 0
        self.failure: ProviderError | None = None
        self._said: list[str] = []
        self._deltas: list[Delta] = []

    def take(self, payload: bytes) -> None:
        """Read one payload. Raises ProviderError."""
        raise NotImplementedError

    def finish(self) -> Finished:
        """Return the last delta; raise if the answer was cut. May add others before it."""
        raise NotImplementedError

    @property
    def said_something(self) -> bool:
        """Whether there were words or calls; thoughts alone are no answer."""
        return self._spoke or self.calls > 0

    _spoke = False

    def feed(self, payloads: list[bytes]) -> list[Delta]:
        """Return the deltas of payloads, adjacent text joined. An error among them is left for `check`, so that the tokens
        before it are not lost."""
        try:
            for payload in payloads:
                if self.ended:
                    break
                self.take(payload)
        except ProviderError as exc:
            if not self.complete:  # nothing after the end can fail an answer
                self.failure = exc
        return self.drain()

    def check(self) -> None:
        """Raise the error of the last `feed`, if any."""
        if self.failure is not None:
            raise self.failure

    def drain(self) -> list[Delta]:
        """Return the deltas that were added since the last time."""
        self._flush()
        deltas, self._deltas = self._deltas, []
        return deltas

    def say(self, text: str) -> None:
        """Add text of the answer."""
        if text:
            self._said.append(text)
            self._spoke = True

    def add(self, delta: Delta) -> None:
        """Add anything else."""
        self._flush()
        match delta:
            case ReasoningDelta(text) | RefusalDelta(text):
                self.chars += len(text)
                self._spoke = self._spoke or isinstance(delta, RefusalDelta)
            case ToolCallDelta():
                self.chars += len(delta.arguments)
                self.calls = max(self.calls, delta.index + 1)
            case _:
                pass
        self._deltas.append(storable(delta))

    def add_extra(self, extra: dict[str, Any]) -> None:
        """Add what must go back to the vendor with the message."""
        self.add(ExtraDelta(extra))

    def _flush(self) -> None:
        if self._said:
            joined = "".join(self._said)
            self.chars += len(joined)
            self._said.clear()
            self._deltas.append(storable(TextDelta(joined)))


async def read_answer(
    response: VendorStream, splitter: Splitter, reader: AnswerReader, *, end_mark_s: float
) -> AsyncGenerator[Delta, None]:
    """Yield the deltas of a stream, `Finished` last. Those that arrive in one network read are yielded together.

    Once the answer is complete, silence and a dropped connection are its end: only its usage may be missing then.
    """
    while not reader.ended:
        piece = b""
        try:
            piece = await response.read()
            payloads = splitter.feed(piece) if piece else splitter.flush()
        except (ProviderStreamCut, ProviderStalled, ProviderInvalidResponse):
            if not reader.complete:
                raise
            piece, payloads = b"", []
        deltas = reader.feed(payloads)
        for delta in deltas:
            yield delta
        reader.check()
        if deltas or reader.complete:
            response.note_activity(end_mark_s if reader.complete else None)
        if not piece:
            break
    finished = reader.finish()
    for delta in reader.drain():
        yield delta
    yield finished
    await response.drain()

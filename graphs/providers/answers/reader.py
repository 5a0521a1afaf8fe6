"""Reads a streamed answer of server-sent events, whatever protocol is in them: bytes to payloads to deltas, under the watchdog.

    VendorStream ─bytes─▶ SseSplitter ─payloads─▶ AnswerReader of the protocol ─▶ Answer ─deltas─▶ caller

Not for: what a payload means (the `AnswerReader`s), and opening the stream (`http/vendor_client.py`).
"""

from collections.abc import AsyncGenerator

from graphs.providers.answers.answer import Answer
from graphs.providers.contract import Delta, ModelRequest
from graphs.providers.errors import ProviderStalled, ProviderStreamCut
from graphs.providers.http.sse import SseSplitter
from graphs.providers.http.vendor_client import VendorStream
from schema.errors import ProviderError

DONE = b"[DONE]"
"""OpenAI's end mark, which gateways send after other protocols, too."""


class AnswerReader:
    """The state of one answer. A protocol says what a payload means (`take`) and what was counted (`finish`).

    `ended`: the end mark came, and nothing more is read.
    """

    def __init__(self, provider: str, request: ModelRequest, key: str = "") -> None:
        self.provider, self.request, self.key = provider, request, key
        self.answer = Answer(provider, request, key)
        self.ended = False
        self._failure: ProviderError | None = None

    def take(self, payload: bytes) -> None:
        """Read one payload. Raises ProviderError."""
        raise NotImplementedError

    def finish(self, foreign: str = "") -> list[Delta]:
        """Return the last deltas; `foreign` is what came besides and was not understood. Raises what `Answer.finish` raises."""
        raise NotImplementedError

    def feed(self, payloads: list[bytes]) -> list[Delta]:
        """Return the deltas of payloads. An error among them is left for `check`, so that the tokens before it are not lost;
        one after the finish reason can't take the answer away any more."""
        for payload in payloads:
            self.ended = self.ended or payload.strip() == DONE
            if self.ended:
                break
            try:
                self.take(payload)
            except ProviderError as exc:
                if not self.answer.is_complete:
                    self._failure = exc
                    break
        return self.answer.take()

    def check(self) -> None:
        """Raise the error of the last `feed`, if any."""
        if self._failure is not None:
            raise self._failure


async def read_answer(
    response: VendorStream, reader: AnswerReader, *, end_mark_s: float
) -> AsyncGenerator[Delta, None]:
    """Yield the deltas of a stream, `Finished` last. Those that arrive in one network read are yielded together.

    Once there is a finish reason, silence and a dropped connection are the end: only usage may be missing then.
    """
    events, answer = SseSplitter(reader.provider), reader.answer
    while not reader.ended:
        try:
            piece = await response.read()
        except (ProviderStreamCut, ProviderStalled):
            if not answer.has_reason:
                raise
            piece = b""
        deltas = reader.feed(events.feed(piece) if piece else events.flush())
        for delta in deltas:
            yield delta
        reader.check()
        if deltas or answer.has_reason:
            response.note_activity(end_mark_s if answer.has_reason else None)
        if not piece:
            break
    for delta in reader.finish(events.foreign):
        yield delta
    await response.drain()

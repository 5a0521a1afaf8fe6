"""What one answer says, whichever protocol it came in: readers put in what they find, and take out deltas of the contract.

    reader ── add_text, add_thought, add_call, end ──▶ Answer ── take ──▶ deltas   ── finish ──▶ the last ones and Finished

Here thinking in the text is set apart, calls are put together, JSON is unfenced, what Postgres can't store is cleaned, and it
is decided whether this was an answer: one that was cut or said nothing is an error that may be retried.
"""

from typing import Any

from graphs.providers.answers.call_pieces import CallPiece, CallPieces
from graphs.providers.answers.endings import cut_by, read_reason
from graphs.providers.answers.fences import FenceRemover
from graphs.providers.answers.thinking import ThinkingSplitter
from graphs.providers.contract import (
    Delta,
    ExtraDelta,
    Finished,
    FinishReason,
    ModelRequest,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
)
from graphs.providers.errors import ProviderInvalidResponse, ProviderSaidNothing, ProviderStreamCut
from graphs.providers.reported import storable, usage_from

_JSON_FORMATS = frozenset({"json_object", "json_schema"})


class Answer:
    """The state of one answer. `model`, `fingerprint` and `tier` are what the vendor calls its model, its server and how it
    served, if it says; `reported` what else it says of the whole."""

    def __init__(self, provider: str, request: ModelRequest, key: str = "") -> None:
        self.model = self.fingerprint = self.tier = ""
        self.reported: dict[str, Any] = {}
        self._provider, self._request, self._key = provider, request, key
        self._deltas: list[Delta] = []
        self._text: list[str] = []
        self._logprobs: list[dict[str, Any]] = []
        self._half = ""  # of a surrogate pair, whose other half may come with the next chunk
        self._thinking = ThinkingSplitter()
        self._is_text = self._thinking.is_over = (
            request.completion is not None
        )  # which is as it came, also if it is nothing
        self._fence = FenceRemover() if (request.response_format or {}).get("type") in _JSON_FORMATS else None
        self._calls = CallPieces(request)
        self._reason: str | None = None
        self._chars = 0
        self._has_words = False

    @property
    def has_output(self) -> bool:
        """Whether words, thoughts or calls have arrived."""
        return self._chars > 0 or self._has_words or len(self._calls) > 0

    @property
    def has_reason(self) -> bool:
        """Whether the vendor has said why the answer ended: only usage and an end mark may follow."""
        return self._reason is not None

    @property
    def is_complete(self) -> bool:
        """Whether the answer has ended well: nothing that follows can fail it."""
        return self._reason is not None and read_reason(self._reason) is not None

    def add_text(self, text: str, logprobs: list[dict[str, Any]] | None = None) -> None:
        """More of the answer, with the logprobs of its tokens."""
        if not self._thinking.is_over:
            thought, text = self._thinking.feed(text)
            self.add_thought(thought)
        if self._fence is not None:
            text = self._fence.feed(text)
        if logprobs:
            self._logprobs += logprobs
        if text:
            self._has_words = True
            self._text.append(text)

    def add_refusal(self, text: str, logprobs: list[dict[str, Any]] | None = None) -> None:
        """More of the words in which the model refuses."""
        self._flush()
        self._chars += len(text)
        self._has_words = True
        self._deltas.append(RefusalDelta(text, logprobs))

    def add_thought(self, text: str) -> None:
        """More of the model's thinking."""
        if text:
            self._flush()
            self._chars += len(text)
            self._deltas.append(ReasoningDelta(text))

    def add_signature(self, signature: str, *, redacted: bool = False) -> None:
        """The vendor's signature of the thought so far; `redacted`: the thought itself, which only the vendor can read."""
        self._flush()
        self._deltas.append(ReasoningDelta("", signature, redacted))

    def add_call(self, piece: CallPiece) -> None:
        """More of a tool call."""
        self._flush()
        self._chars += len(piece.arguments)
        if (delta := self._calls.add(piece)) is not None:
            self._deltas.append(delta)

    def add_extra(self, extra: dict[str, Any]) -> None:
        """Fields of the message that only the vendor understands."""
        self._flush()
        self._deltas.append(ExtraDelta(extra))

    def end(self, reason: str) -> None:
        """The vendor's word for why the answer ended. The first counts, unless it was no end."""
        if not self.is_complete:
            self._reason = reason

    def take(self) -> list[Delta]:
        """Return the deltas since the last call, with adjacent text joined."""
        self._flush()
        deltas, self._deltas = self._deltas, []
        return [storable(delta) for delta in deltas]

    def finish(
        self,
        read: Any = None,
        written: Any = None,
        *,
        is_marked: bool = False,
        foreign: str = "",
        may_be_empty: bool = False,
        **parts: Any,
    ) -> list[Delta]:
        """Return what was held back and, last, `Finished`.

        `read`, `written` and `parts` are the counts that the vendor reported, as in `usage_from`. `is_marked`: the end mark
        came, which is an end without a reason if something was said. `foreign` is what came and was not understood.
        `may_be_empty`: an answer may say nothing. Raises ProviderStreamCut for an answer that is not complete,
        ProviderSaidNothing for one without words and calls, ProviderInvalidResponse if nothing was understood.
        """
        reason = self._end_reason(is_marked, foreign)
        self._release()
        if reason == "stop" and not (self._has_words or self._request.stop or may_be_empty or self._is_text):
            raise ProviderSaidNothing(f"{self._provider} ended its answer without having said anything.")
        usage = usage_from(read, written, messages=self._request.messages, chars=self._chars, **parts)
        return [*self.take(), Finished(reason, usage, self.model, self.fingerprint, self.tier, self.reported)]

    def _end_reason(self, is_marked: bool, foreign: str) -> FinishReason:
        if self._reason is None and not (is_marked and self.has_output):
            if foreign and not self.has_output:
                raise ProviderInvalidResponse(f"{self._provider} sent something that is not its protocol: {foreign}")
            said = f" It also said: {foreign}" if foreign else ""
            raise ProviderStreamCut(f"{self._provider} ended its answer without an end mark.{said}")
        reason = read_reason(self._reason or "stop")
        if reason is None:
            raise cut_by(self._provider, self._reason or "", self._key)
        if reason == "stop" and len(self._calls):
            return "tool_calls"  # a forced tool_choice ends with "stop" at OpenAI, and always at some servers
        return "stop" if reason == "tool_calls" and not len(self._calls) else reason

    def _release(self) -> None:
        """Put out what was held back."""
        thought, text = self._thinking.finish()
        self.add_thought(thought)
        if self._fence is not None:
            text = self._fence.feed(text) + self._fence.finish()
        self._has_words = self._has_words or bool(text)
        self._text.append(text)
        self._flush()
        if self._half:
            self._deltas.append(TextDelta(self._half))
        self._deltas += self._calls.finish()

    def _flush(self) -> None:
        if not (self._text or self._logprobs):
            return
        joined = self._half + "".join(self._text)
        self._text.clear()
        self._half = joined[-1:] if "\ud800" <= joined[-1:] <= "\udbff" else ""
        joined = joined[: len(joined) - len(self._half)]
        logprobs, self._logprobs = self._logprobs, []
        if joined or logprobs:
            self._chars += len(joined)
            self._deltas.append(TextDelta(joined, logprobs or None))

"""Gemini's stream to deltas: each payload is a whole `GenerateContentResponse`.

    data: {"candidates": [{"content": {"parts": […]}, "finishReason": …}], "usageMetadata": …, "modelVersion": …}

There is no end mark: an answer is complete with its finish reason. An error in mid-stream may come without `data:`, as JSON
over several lines, and a server that doesn't stream sends one array.
"""

from typing import Any, cast

from graphs.providers.answers.call_pieces import NOTHING, CallPiece
from graphs.providers.answers.fields import arguments, number, record, records, text
from graphs.providers.answers.json_payloads import read_json
from graphs.providers.answers.reader import AnswerReader
from graphs.providers.contract import Delta, ModelRequest
from graphs.providers.errors import ProviderRefused, safe_excerpt
from graphs.providers.google.messages import NAME
from graphs.providers.http.error_bodies import find_error
from graphs.providers.http.statuses import error_in_stream
from graphs.providers.reported import reported_name


class GoogleReader(AnswerReader):
    """The state of one answer."""

    def __init__(self, request: ModelRequest, key: str = "") -> None:
        super().__init__(NAME, request, key)
        self._message = ""
        self._signature = ""
        self._usage: dict[str, Any] = {}
        self._has_said = False
        self._calls = 0

    def take(self, payload: bytes) -> None:
        """Read a response, or an array of them. Raises the vendor's error, or ProviderRefused if the prompt was blocked."""
        found = read_json(NAME, payload)
        for answer in cast(list[Any], found) if isinstance(found, list) else [found]:
            self._take_response(answer)

    def finish(self, foreign: str = "") -> list[Delta]:
        """See `AnswerReader.finish`. Thoughts are not among the candidates' tokens, but are paid as output; the prompt includes
        what was cached."""
        if self._signature:
            self.answer.add_extra({"extra_content": {NAME: {"thought_signature": self._signature}}})
        if self._message and not self._has_said:
            self.answer.add_refusal(self._message)
        said, thought = number(self._usage, "candidatesTokenCount"), number(self._usage, "thoughtsTokenCount")
        return self.answer.finish(
            number(self._usage, "promptTokenCount"),
            None if said is None and thought is None else (said or 0) + (thought or 0),
            foreign=foreign,
            cached=number(self._usage, "cachedContentTokenCount"),
            reasoning=thought,
        )

    def _take_response(self, answer: Any) -> None:
        candidates = [c for c in records(answer, "candidates") if not c.get("index")]
        if not candidates and (error := find_error(answer)):
            raise error_in_stream(NAME, error, key=self.key)
        self._usage = record(answer, "usageMetadata") or self._usage
        self.answer.model = reported_name(record(answer).get("modelVersion")) or self.answer.model
        if not candidates and (reason := text(answer, "promptFeedback", "blockReason")):
            raise ProviderRefused(f"{NAME} refused the prompt ({safe_excerpt(reason)}); it was filtered.")
        for candidate in candidates[:1]:
            for part in records(candidate.get("content"), "parts"):
                self._take_part(part)
            if reason := text(candidate, "finishReason"):
                self.answer.end(reason)
                self._message = text(candidate, "finishMessage") if reason not in ("STOP", "MAX_TOKENS") else ""

    def _take_part(self, part: dict[str, Any]) -> None:
        signature, said = text(part, "thoughtSignature"), text(part, "text")
        if call := record(part, "functionCall"):
            self._call(call, signature)
            return
        self._signature = signature or self._signature
        if part.get("thought") is True:
            self.answer.add_thought(said)
        elif said:
            self._has_said = True
            self.answer.add_text(said)

    def _call(self, call: dict[str, Any], signature: str) -> None:
        """Calls come whole, and older models give them no ids, and no arguments to a function that takes none."""
        said = arguments(NAME, call.get("args")) or NOTHING
        extra = {"extra_content": {NAME: {"thought_signature": signature}}} if signature else {}
        self._has_said = True
        self.answer.add_call(CallPiece(self._calls, text(call, "id"), text(call, "name"), said, extra))
        self._calls += 1

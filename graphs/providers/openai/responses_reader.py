"""The events of OpenAI's Responses API to deltas.

    response.created → output_item.added → …delta* → output_item.done … → response.completed | incomplete | failed

An item of reasoning is kept until the item that it led to: with a call it goes into the call's extra, else into the message's.
"""

from typing import Any

from graphs.providers.answers.call_pieces import CallPiece
from graphs.providers.answers.fields import arguments, number, record, records, text
from graphs.providers.answers.json_payloads import read_json
from graphs.providers.answers.reader import AnswerReader
from graphs.providers.contract import Delta, ModelRequest
from graphs.providers.extras import ITEM_PHASE
from graphs.providers.http.error_bodies import find_error
from graphs.providers.http.statuses import error_in_stream
from graphs.providers.openai.annotations import ANNOTATIONS, nested
from graphs.providers.openai.responses_request import REASONING_ITEMS
from graphs.providers.reported import reported_details, reported_fields, reported_name

_ENDS = {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}


class ResponsesReader(AnswerReader):
    """The state of one answer."""

    def __init__(self, provider: str, request: ModelRequest, key: str = "") -> None:
        super().__init__(provider, request, key)
        self._usage: dict[str, Any] = {}
        self._reasoning: list[dict[str, Any]] = []
        self._phase = ""
        self._has_said = self._has_thought = False

    def take(self, payload: bytes) -> None:
        """Read one event, or the whole response of a server that doesn't stream. Raises the vendor's error."""
        event = record(read_json(self.provider, payload))
        kind = text(event, "type")
        if kind in _ENDS:
            self._end({"status": kind.removeprefix("response."), **record(event, "response")})
        elif event.get("object") == "response":
            self._end(event)
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._take_item(record(event, "item"), number(event, "output_index"), is_done=kind.endswith("done"))
        elif kind.startswith("response."):
            self._take_piece(kind, event)
        elif error := find_error(event):
            raise error_in_stream(self.provider, error, key=self.key, model=self.request.model)

    def finish(self, foreign: str = "") -> list[Delta]:
        """See `AnswerReader.finish`."""
        if self._reasoning and self._has_said:
            self.answer.add_extra({REASONING_ITEMS: self._reasoning})
        if self._phase:
            self.answer.add_extra({ITEM_PHASE: self._phase})
        read, written = record(self._usage, "input_tokens_details"), record(self._usage, "output_tokens_details")
        self.answer.reported |= reported_details(input_tokens_details=read, output_tokens_details=written)
        return self.answer.finish(
            self._usage.get("input_tokens"),
            self._usage.get("output_tokens"),
            foreign=foreign,
            cached=read.get("cached_tokens"),
            cache_write=read.get("cache_write_tokens"),
            reasoning=written.get("reasoning_tokens"),
        )

    def _take_piece(self, kind: str, event: dict[str, Any]) -> None:
        piece = text(event, "delta")
        match kind.removeprefix("response."):
            case "output_text.delta":
                self._say(piece)
            case "refusal.delta" if piece:
                self._has_said = True
                self.answer.add_refusal(piece)
            case "reasoning_summary_text.delta" | "reasoning_text.delta":
                self._has_thought = self._has_thought or bool(piece)
                self.answer.add_thought(piece)
            case "reasoning_summary_part.added" if self._has_thought:
                self.answer.add_thought("\n\n")
            case "function_call_arguments.delta":
                self.answer.add_call(CallPiece(number(event, "output_index"), arguments=piece))
            case _:
                self.answer.model = reported_name(text(event, "response", "model")) or self.answer.model

    def _take_item(self, item: dict[str, Any], index: int | None, *, is_done: bool) -> None:
        kind = text(item, "type")
        if kind == "reasoning" and is_done and text(item, "encrypted_content"):
            self._reasoning.append(_as_sent(item))
        elif kind == "message" and is_done:
            self._phase = text(item, "phase")
            self._annotate(item)
        elif kind == "function_call":
            extra = {REASONING_ITEMS: self._reasoning} if self._reasoning else {}
            self._reasoning = []
            said = arguments(self.provider, item.get("arguments"))
            self.answer.add_call(CallPiece(index, text(item, "call_id"), text(item, "name"), said, extra))

    def _end(self, response: dict[str, Any]) -> None:
        """Read the whole response: its text counts only if none came before."""
        self._usage = record(response, "usage")
        self.answer.model = reported_name(text(response, "model")) or self.answer.model
        self.answer.tier = reported_name(text(response, "service_tier")) or self.answer.tier
        self.answer.reported |= reported_fields(response)
        if error := record(response, "error") or (text(response, "status") == "failed" and {"message": "it failed"}):
            raise error_in_stream(self.provider, error, key=self.key, model=self.request.model)
        for index, item in enumerate(records(response, "output")):
            if text(item, "type") == "function_call":
                self._take_item(item, index, is_done=True)
            elif text(item, "type") == "message" and not self._has_said:
                self._take_message(item)
        status = text(response, "status")
        self.answer.end(text(response, "incomplete_details", "reason") or status if status == "incomplete" else status)
        self.ended = True

    def _annotate(self, item: dict[str, Any]) -> None:
        """Take the sources of a text, in the shape of chat completions where that has one."""
        if found := [nested(one) for part in records(item, "content") for one in records(part, "annotations")]:
            self.answer.add_extra({ANNOTATIONS: found})

    def _take_message(self, item: dict[str, Any]) -> None:
        self._annotate(item)
        for part in records(item, "content"):
            self._say(text(part, "text"))
            if refusal := text(part, "refusal"):
                self.answer.add_refusal(refusal)

    def _say(self, words: str) -> None:
        if words:
            self._has_said = True
            self.answer.add_text(words)


def _as_sent(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item of reasoning as a request may have it: without its state."""
    return {
        name: item[name]
        for name in ("type", "id", "summary", "content", "encrypted_content")
        if item.get(name) is not None
    }

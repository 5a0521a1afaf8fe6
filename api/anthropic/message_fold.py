"""A job's events as those of Anthropic's stream: blocks of thinking, text and calls that begin, grow and end.

    message_start ─ (content_block_start ─ content_block_delta … ─ content_block_stop) … ─ message_delta ─ message_stop

Blocks of calls end with the message: pieces of parallel calls may come in any order.
"""

from typing import Any
from uuid import UUID

import msgspec

from api.anthropic.schemas import AssistantMessageOut, MessageUsageOut
from api.anthropic.signatures import attach, sign
from api.http.errors import JobEnded
from api.openai.replay_dedup import ReplayDedup
from schema.events import (
    Event,
    JobCancelled,
    JobFailed,
    JobRestarted,
    JobSucceeded,
    MessageCompleted,
    MessageDelta,
    ReasoningDelta,
    UsageRecorded,
)

Json = dict[str, Any]
Named = tuple[str, Json]
"""An event of the stream: its name and what it has besides its type."""

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
CALL_FIELDS = frozenset({"id", "index", "type", "function"})


class MessageFold:
    """Folds a job's events. `ended` is true once the job has ended. `native`: a model of Anthropic's answers, whose signatures
    are passed on; without, thoughts are signed as `vendor`'s."""

    def __init__(self, job_id: UUID, model: str, *, native: bool) -> None:
        self.ended = False
        self._job_id, self._model, self._native = job_id, model, native
        self._vendor = model.partition("/")[0]
        self._dedup = ReplayDedup()
        self._blocks = 0
        self._open = ""  # the kind of the block that is open, besides those of calls
        self._calls: dict[int, int] = {}  # number of a call → its block
        self._message = MessageCompleted(text="")
        self._usage: UsageRecorded | None = None

    def begin(self, input_tokens: int) -> list[Named]:
        """Return the first event; the prompt's tokens are estimated, since their count comes last."""
        usage = MessageUsageOut(input_tokens=input_tokens, output_tokens=0)
        message = AssistantMessageOut(id=message_id(self._job_id), model=self._model, content=[], usage=usage)
        return [("message_start", {"message": message})]

    def take(self, seq: int, event: Event) -> list[Named]:
        """Return the events that one of the job's becomes. Raises JobEnded, and ReplayMismatch for an answer that began anew
        and differs."""
        match event:
            case MessageDelta():
                return self._delta(seq, event)
            case ReasoningDelta():
                return self._think(event)
            case JobRestarted():
                self._dedup.restart(event)
            case MessageCompleted():
                self._message = event
            case UsageRecorded():
                self._usage = event
            case JobSucceeded():
                return self._end()
            case JobFailed() | JobCancelled():
                self.ended = True
                raise ended_badly(event, str(self._job_id))
        return []

    def _think(self, event: ReasoningDelta) -> list[Named]:
        is_new = self._dedup.takes_reasoning
        text = self._dedup.reasoning(event)
        if not is_new:
            return []
        if event.redacted:
            block = {"type": "redacted_thinking", "data": event.signature}
            return [*self._start("redacted_thinking", block), *self._stop()] if self._native else []
        events: list[Named] = []
        if self._open != "thinking" and (text or self._native):
            events = self._start("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if text:
            events.append(self._grow({"type": "thinking_delta", "thinking": text}))
        if event.signature and self._native:
            events += [self._grow({"type": "signature_delta", "signature": event.signature}), *self._stop(signed=True)]
        return events

    def _delta(self, seq: int, event: MessageDelta) -> list[Named]:
        events: list[Named] = []
        if event.text and (text := self._dedup.text(seq, event)):
            events += self._say(text)
        if event.refusal and (text := self._dedup.refusal(event)) and not self._native:
            events += self._say(text)
        for piece in self._dedup.tool_calls(event) if event.tool_calls else ():
            events += self._call(piece)
        return events

    def _say(self, text: str) -> list[Named]:
        events = [] if self._open == "text" else self._start("text", {"type": "text", "text": ""})
        return [*events, self._grow({"type": "text_delta", "text": text})]

    def _call(self, piece: Json) -> list[Named]:
        number, function = int(piece.get("index") or 0), piece.get("function") or {}
        events: list[Named] = []
        if number not in self._calls:
            events = self._start("", tool_use(piece, self._vendor) | {"input": {}})
            self._calls[number] = self._blocks - 1
        if arguments := function.get("arguments"):
            delta = {"type": "input_json_delta", "partial_json": arguments}
            events.append(("content_block_delta", {"index": self._calls[number], "delta": delta}))
        return events

    def _end(self) -> list[Named]:
        self.ended = True
        events: list[Named] = []
        if remaining := self._dedup.remaining_text(self._message):
            events += self._say(remaining)
        # An agent's calls of the client's tools come with the whole answer alone.
        for number, call in enumerate(self._message.tool_calls or ()):
            if number not in self._calls:
                events += self._call({**call, "index": number})
        events += self._stop()
        events += [("content_block_stop", {"index": index}) for index in sorted(self._calls.values())]
        usage = usage_out(self._usage)
        events.append(("message_delta", {"delta": stop_of(self._message), "usage": usage}))
        events.append(("message_stop", {}))
        return events

    def _start(self, kind: str, block: Json) -> list[Named]:
        events = self._stop()
        self._open = kind
        self._blocks += 1
        return [*events, ("content_block_start", {"index": self._blocks - 1, "content_block": block})]

    def _grow(self, delta: Json) -> Named:
        return "content_block_delta", {"index": self._blocks - 1, "delta": delta}

    def _stop(self, *, signed: bool = False) -> list[Named]:
        """End the block that is open. A thought without a signature gets one of ours: clients want one."""
        if not self._open:
            return []
        events: list[Named] = []
        if self._open == "thinking" and not signed:
            events.append(self._grow({"type": "signature_delta", "signature": sign(self._vendor)}))
        self._open = ""
        return [*events, ("content_block_stop", {"index": self._blocks - 1})]


def message_id(job_id: UUID) -> str:
    """Return the id of a job's message, with Anthropic's prefix."""
    return f"msg_{job_id.hex}"


def tool_use(call: Json, vendor: str) -> Json:
    """Return a call in OpenAI's format as a block, without its input."""
    extra = {name: value for name, value in call.items() if name not in CALL_FIELDS}
    call_id = attach(str(call.get("id") or ""), extra, vendor)
    return {"type": "tool_use", "id": call_id, "name": (call.get("function") or {}).get("name") or ""}


def stop_of(message: MessageCompleted) -> Json:
    """Return why an answer ended."""
    reason = STOP_REASONS.get(message.finish_reason, "end_turn")
    explained = {"type": "refusal", "category": None, "explanation": message.refusal}
    return {"stop_reason": reason, "stop_sequence": None, "stop_details": explained if reason == "refusal" else None}


def usage_out(usage: UsageRecorded | None) -> MessageUsageOut:
    """Return token counts as Anthropic counts: what its cache has read and written apart from the rest."""
    if usage is None:
        return MessageUsageOut(input_tokens=0, output_tokens=0)
    cached, written = usage.cached_tokens, usage.cache_write_tokens
    for_an_hour = min(usage.cache_write_1h_tokens, written)
    return MessageUsageOut(
        input_tokens=max(0, usage.input_tokens - cached - written),
        cache_creation_input_tokens=written,
        cache_creation={
            "ephemeral_5m_input_tokens": written - for_an_hour,
            "ephemeral_1h_input_tokens": for_an_hour,
        },
        cache_read_input_tokens=cached,
        output_tokens=usage.output_tokens,
        output_tokens_details={"thinking_tokens": usage.reasoning_tokens},
        cost_usd=usage.cost_usd,
    )


def ended_badly(event: JobFailed | JobCancelled, job_id: str) -> JobEnded:
    """Return the error of a job that didn't succeed."""
    if isinstance(event, JobCancelled):
        return JobEnded("cancelled", "The job was cancelled before it finished.", job_id)
    return JobEnded(event.error.code, event.error.message, job_id, event.error.retry_after_s)


_encode = msgspec.json.Encoder().encode


def encode_event(name: str, fields: Json) -> bytes:
    """Return one event of the stream; its name is obligatory, clients skip those without."""
    data = _encode({"type": name, **fields})
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)

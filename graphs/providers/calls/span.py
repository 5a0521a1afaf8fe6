"""The span of one call of a model, as the conventions for generative AI have it (`schema/tracing/attributes.py`)."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from graphs.providers.contract import (
    Delta,
    FilePart,
    Finished,
    ImagePart,
    Message,
    ModelRequest,
    Part,
    Progress,
    RefusalDelta,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
)
from schema.storable import storable_text
from schema.tracing import attributes as names
from schema.tracing.content import as_json
from schema.tracing.spans import UNTRACED, Span, is_recording, records_content, span


def call_span(provider: str, request: ModelRequest) -> Span:
    """Return the span of a call that begins."""
    if not is_recording():
        return UNTRACED
    operation = names.CHAT if request.completion is None else names.COMPLETION
    model = storable_text(request.model)  # one text that can't be sent would take a whole batch of spans along
    attributes = {
        names.OPERATION: operation,
        names.PROVIDER: names.provider_name(provider),
        names.REQUEST_MODEL: model,
        names.REQUEST_STREAM: True,
        names.REQUEST_CHOICES: request.choices if request.choices != 1 else None,
        names.REQUEST_MAX_TOKENS: request.max_tokens,
        names.REQUEST_TEMPERATURE: request.temperature,
        names.REQUEST_TOP_P: request.top_p,
        names.REQUEST_SEED: request.seed,
        names.REQUEST_STOP: [storable_text(one) for one in request.stop] or None,
        names.OUTPUT_TYPE: "json" if request.response_format else None,
    }
    made = span(f"{operation} {model}", "client", attributes)
    if records_content() and request.completion is None:
        made.set({names.INPUT_MESSAGES: as_json([_message(one) for one in request.messages])})
    return made


def noting(call: Span, deltas: AsyncGenerator[Delta, None]) -> AsyncGenerator[Delta, None]:
    """Return a stream of a call whose span says when it began, how it ended and what it used: itself, if nobody listens."""
    return _noting(call, deltas) if call.recording else deltas


async def _noting(call: Span, deltas: AsyncGenerator[Delta, None]) -> AsyncGenerator[Delta, None]:
    began, is_first, texts, calls = time.perf_counter(), True, list[str](), list[ToolCallDelta]()
    keeps = records_content()
    async with aclosing(deltas) as stream:
        async for delta in stream:
            if is_first and not isinstance(delta, Progress):
                is_first = False
                call.set({names.RESPONSE_FIRST_CHUNK: round(time.perf_counter() - began, 6)})
            match delta:
                case TextDelta(text) | RefusalDelta(text) if keeps:
                    texts.append(text)
                case ToolCallDelta() if keeps:
                    calls.append(delta)
                case Finished():
                    _note_end(call, delta)
                    if keeps:
                        call.set({names.OUTPUT_MESSAGES: as_json([_answer(texts, calls, delta)])})
            yield delta


def _note_end(call: Span, finished: Finished) -> None:
    usage = finished.usage
    call.set(
        {
            names.RESPONSE_MODEL: storable_text(finished.model) or None,
            names.RESPONSE_FINISH: [finished.reason],
            names.INPUT_TOKENS: usage.input_tokens,
            names.OUTPUT_TOKENS: usage.output_tokens,
            names.CACHE_READ_TOKENS: usage.cached_tokens or None,
            names.CACHE_WRITE_TOKENS: usage.cache_write_tokens or None,
            names.REASONING_TOKENS: usage.reasoning_tokens or None,
        }
    )


def _message(message: Message) -> dict[str, Any]:
    return {"role": message.role, "parts": [_part(part) for part in message.parts]}


def _part(part: Part) -> dict[str, Any]:
    """Return a part in the conventions' form; images and files by their kind alone."""
    match part:
        case TextPart(text):
            return {"type": "text", "content": text}
        case ToolCallPart(call_id, name, arguments):
            return {"type": "tool_call", "id": call_id, "name": name, "arguments": arguments}
        case ToolResultPart(call_id, text):
            return {"type": "tool_call_response", "id": call_id, "response": text}
        case ImagePart() | FilePart():
            return {"type": "blob", "modality": "image" if isinstance(part, ImagePart) else "document"}


def _answer(texts: Sequence[str], calls: Sequence[ToolCallDelta], finished: Finished) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "text", "content": "".join(texts)}] if texts else []
    by_index: dict[int, dict[str, Any]] = {}
    for one in calls:
        call = by_index.setdefault(one.index, {"type": "tool_call", "id": "", "name": "", "arguments": ""})
        call["id"], call["name"] = call["id"] or one.id, call["name"] or one.name
        call["arguments"] += one.arguments
    return {"role": "assistant", "parts": [*parts, *by_index.values()], "finish_reason": finished.reason}

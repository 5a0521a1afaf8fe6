"""Spans of calls of models: what they say as the conventions for generative AI have it, and what only if asked to."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from graphs.providers.calls.metrics import measured_call
from graphs.providers.calls.span import noting
from graphs.providers.contract import (
    Delta,
    Finished,
    ImagePart,
    Message,
    ModelRequest,
    TextDelta,
    TextPart,
    ToolCallDelta,
    Usage,
)
from graphs.providers.errors import ProviderOverloaded
from schema.tracing.spans import entry_span, trace_headers
from tests.recorded_spans import Recorded, recorded_spans

REQUEST = ModelRequest(
    model="small", messages=(Message("user", (TextPart("the heron"), ImagePart("data:,x"))),), max_tokens=9, stop=("!",)
)
USAGE = Usage(input_tokens=7, output_tokens=3, cached_tokens=2, reasoning_tokens=1)


async def answer(*, fails: bool = False) -> AsyncGenerator[Delta, None]:
    yield TextDelta("the ")
    if fails:
        raise ProviderOverloaded("what the heron said", 1.0)
    yield TextDelta("otter")
    yield ToolCallDelta(0, "call_1", "open", '{"gate":')
    yield ToolCallDelta(0, arguments=" 1}")
    yield Finished("tool_calls", USAGE, "small-2026")


async def read(*, fails: bool = False) -> None:
    with measured_call("google", REQUEST, own_key=True) as span:
        async with aclosing(noting(span, answer(fails=fails))) as deltas:
            async for _ in deltas:
                await asyncio.sleep(0)


async def call(*, content: bool) -> Recorded:
    with recorded_spans(content=content) as recorded, entry_span("attempt", "consumer"):
        await read()
    return recorded


def attributes(recorded: Recorded) -> dict[str, Any]:
    return dict(recorded.one("chat small").attributes or {})


async def test_a_call_says_what_was_asked_for_and_used_and_nothing_that_was_said() -> None:
    recorded = await call(content=False)
    found = attributes(recorded)
    assert 0 <= found.pop("gen_ai.response.time_to_first_chunk")
    assert {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": "small",
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.stop_sequences": ("!",),
        "gen_ai.response.model": "small-2026",
        "gen_ai.response.finish_reasons": ("tool_calls",),
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 2,
        "gen_ai.usage.reasoning.output_tokens": 1,
    } == found


async def test_messages_are_recorded_where_that_is_asked_for_and_images_never() -> None:
    found = attributes(await call(content=True))
    said = {"type": "text", "content": "the heron"}
    assert [{"role": "user", "parts": [said, {"type": "blob", "modality": "image"}]}] == msgspec.json.decode(
        found["gen_ai.input.messages"]
    )
    parts = [
        {"type": "text", "content": "the otter"},
        {"type": "tool_call", "id": "call_1", "name": "open", "arguments": '{"gate": 1}'},
    ]
    answered = {"role": "assistant", "parts": parts, "finish_reason": "tool_calls"}
    assert [answered] == msgspec.json.decode(found["gen_ai.output.messages"])


async def test_a_call_that_fails_says_its_code_and_not_its_message() -> None:
    with recorded_spans() as recorded, entry_span("attempt", "consumer"), pytest.raises(ProviderOverloaded):
        await read(fails=True)
    assert ProviderOverloaded.code == attributes(recorded)["error.type"]
    assert "heron" not in recorded.one("chat small").to_json()


async def test_an_untraced_stream_is_handed_on_as_it_is() -> None:
    stream = answer()
    with measured_call("openai", REQUEST, own_key=True) as span:
        assert stream is noting(span, stream)
        assert {} == trace_headers()
    await stream.aclose()

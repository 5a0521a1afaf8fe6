"""Calls that a model with native tools writes as its answer: read as calls if they are the whole answer, else left as text."""

import json

import pytest

from graphs.providers.contract import Delta, Finished, ToolCallDelta
from graphs.providers.prompted_tools.provider import NativeOrPromptedTools
from graphs.providers.registry import open_session
from tests.conformance.dialects import DIALECTS
from tests.counterparts.raw_server import RawAnswer, RawServer
from tests.graphs.model_requests import PATIENT, ask, collect, text_of

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = tuple({"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in ("look", "listen"))
CALL = '{"name": "look", "arguments": {"city": "Hà Nội"}}'


async def answer(
    said: str, size: int, *, reason: str = "stop", native: bool = False, dialect: str = "ollama", **request
):
    wire = DIALECTS[dialect]
    frames = [wire.words(said[i : i + size]) for i in range(0, len(said), size)]
    if native:
        frames.append(wire.call("listen", {"city": "Huế"}))
    async with RawServer(RawAnswer((*frames, wire.end(reason)))) as server, open_session() as session:
        provider = NativeOrPromptedTools(wire.provider(session, server.url, PATIENT))
        return await collect(provider, ask("m", **{"tools": TOOLS, **request}))


def calls_of(deltas: list[Delta]) -> list[tuple[str, object]]:
    return [(delta.name, json.loads(delta.arguments)) for delta in deltas if isinstance(delta, ToolCallDelta)]


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize(
    "said",
    [
        CALL,
        f"\n{CALL}\n",
        f"```json\n{CALL}\n```",
        f"```\n{CALL}\n```\n",
        f"<tool_call>\n{CALL}\n</tool_call>",
        f"<think>hm</think>\n{CALL}",
        f"[TOOL_CALLS][{CALL}]",
        f"<|python_tag|>{CALL.replace('arguments', 'parameters')}",
        '{"function": {"name": "look", "arguments": {"city": "Hà Nội"}}}',
        '{"name": "look", "arguments": "{\\"city\\": \\"Hà Nội\\"}"}',
    ],
)
async def test_a_call_that_is_the_whole_answer_is_a_call(said: str, size: int, dialect: str):
    deltas = await answer(said, size, dialect=dialect)

    assert [("look", {"city": "Hà Nội"})] == calls_of(deltas)
    assert text_of(deltas) == ""
    assert isinstance(deltas[-1], Finished)
    assert deltas[-1].reason == "tool_calls"


async def test_several_calls_are_all_read_unless_only_one_may_be():
    said = f"```json\n{CALL}\n```\n```json\n{CALL.replace('look', 'listen')}\n```"

    assert ["look", "listen"] == [name for name, _ in calls_of(await answer(said, 5))]
    assert ["look"] == [name for name, _ in calls_of(await answer(said, 5, parallel_tool_calls=False))]


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    "said",
    [
        f"For example: {CALL}",
        f"{CALL} is how it is called.",
        f"```json\n{CALL}\n```\nThis looks at the city.",
        CALL.replace("look", "smell"),
        CALL.replace("city", "town"),
        '{"name": "look"}',
        '{"name": "Lan", "age": 7}',
        '{"name": "loo',
        "```python\nprint(1)\n```",
        "{",
        "<tool",
        '[{"name": "look", "arguments": {"city": "Hà Nội"}}, {"a": 1}]',
    ],
)
async def test_what_only_contains_a_call_or_does_not_fit_is_text(said: str, size: int):
    deltas = await answer(said, size)

    assert said == text_of(deltas)
    assert [] == calls_of(deltas)
    assert isinstance(deltas[-1], Finished)
    assert deltas[-1].reason == "stop"


async def test_a_call_that_was_cut_or_is_not_wanted_is_text():
    assert text_of(await answer(CALL, 5, reason="length")) == CALL
    assert text_of(await answer(CALL, 5, tool_choice="none")) == CALL
    assert text_of(await answer(CALL, 5, tools=())) == CALL


async def test_native_calls_count_where_there_are_both():
    deltas = await answer(CALL, 5, native=True)

    assert [("listen", {"city": "Huế"})] == calls_of(deltas)
    assert text_of(deltas) == CALL


async def test_an_answer_that_cannot_be_a_call_streams():
    deltas = await answer('{"name": "Lan", "age": 7, "city": "Hà Nội"}', 3)

    assert len(deltas) > 5

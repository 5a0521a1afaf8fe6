"""What vendors report: counts that are none are estimated, what Postgres can't store is left out, and the answer arrives."""

import json
from typing import Any

import pytest

from graphs.providers.contract import Delta, Finished, Message, ModelRequest, TextDelta, ToolCallDelta, Usage
from graphs.providers.errors import safe_excerpt
from graphs.providers.ollama.wire_format import LineReader
from graphs.providers.openai.wire_format import ChunkReader
from graphs.providers.reported import MAX_TOKENS, reported_details, reported_fields

ASKED = ModelRequest(model="m", messages=(Message.of("user", "twelve chars"),))
ESTIMATED = Usage(7, 1, estimated=True)
NO_COUNTS = (-(10**9), -1, 7.0, 7.5, "7", [], {}, True, None, MAX_TOKENS + 1, 2**53, 2**63, 2**64, 10**30)


def by_openai(read: Any, written: Any, text: str = "word") -> list[Delta]:
    reader = ChunkReader("it", ASKED)
    chunk = {"choices": [{"delta": {"content": text}, "finish_reason": "stop"}]}
    usage = {"choices": [], "usage": {"prompt_tokens": read, "completion_tokens": written}}
    deltas = reader.feed([json.dumps(chunk).encode(), json.dumps(usage).encode(), b"[DONE]"])
    reader.check()
    return [*deltas, *reader.finish()]


def by_ollama(read: Any, written: Any, text: str = "word") -> list[Delta]:
    reader = LineReader("it", ASKED)
    line = {"message": {"content": text}, "done": True, "prompt_eval_count": read, "eval_count": written}
    deltas = reader.feed([json.dumps(line).encode()])
    reader.check()
    return [*deltas, *reader.finish()]


@pytest.mark.parametrize("read_by", [by_openai, by_ollama])
@pytest.mark.parametrize("count", NO_COUNTS)
def test_a_count_that_is_none_is_estimated_and_costs_no_answer(read_by: Any, count: Any) -> None:
    assert [TextDelta("word"), Finished("stop", ESTIMATED)] == read_by(count, count)
    assert Usage(7, 5, estimated=True) == read_by(count, 5)[-1].usage
    assert Usage(5, 1, estimated=True) == read_by(5, count)[-1].usage


@pytest.mark.parametrize("read_by", [by_openai, by_ollama])
def test_a_count_is_taken_as_reported(read_by: Any) -> None:
    assert Usage(0, MAX_TOKENS) == read_by(0, MAX_TOKENS)[-1].usage


@pytest.mark.parametrize("usage", [[], "many", 7, True, -1, {"prompt_tokens": {}}])
def test_usage_that_is_no_object_is_estimated(usage: Any) -> None:
    reader = ChunkReader("it", ASKED)
    chunk = {"choices": [{"delta": {"content": "word"}, "finish_reason": "stop"}], "usage": usage}
    assert [TextDelta("word")] == reader.feed([json.dumps(chunk).encode()])
    reader.check()
    assert [Finished("stop", ESTIMATED)] == reader.finish()


@pytest.mark.parametrize("read_by", [by_openai, by_ollama])
def test_what_postgres_cannot_store_is_left_out_of_an_answer(read_by: Any) -> None:
    assert TextDelta("good day") == read_by(1, 1, "good\0 day\0")[0]


def test_what_postgres_cannot_store_is_left_out_of_calls_and_errors() -> None:
    function = {"name": "get\0_stock", "arguments": '{"sku": "A\0"}'}
    call = {"index": 0, "id": "call\0_1", "function": function}
    chunk = {"choices": [{"delta": {"tool_calls": [call]}}]}
    deltas = ChunkReader("it", ASKED).feed([json.dumps(chunk).encode()])
    assert [ToolCallDelta(0, "call_1", "get_stock", '{"sku": "A"}')] == deltas
    assert "it broke" == safe_excerpt("it\0 broke\0")


def test_what_a_vendor_says_of_the_whole_is_kept_if_it_is_no_longer_than_such_things_are() -> None:
    said = {"moderation": {"input": "a\0b"}, "metadata": {}, "id": "x"}
    assert {"moderation": {"input": "ab"}} == reported_fields(said)
    assert {} == reported_fields({"moderation": "x" * 200_000})


def test_details_of_usage_are_counts() -> None:
    details = {"audio_tokens": 3, "bad": -1, "text": "7", "deep": {"ttl": 2, "x": None}, "cached_tokens": 7.0}
    told = reported_details(input_tokens_details=details, output_tokens_details=[1])
    assert {"input_tokens_details": {"audio_tokens": 3, "deep": {"ttl": 2}}} == told

"""Hostile questions, patterns and schemas: the offline model answers in a bounded time and never breaks."""

import pytest

from graphs.providers.offline.replies import reply
from tests.graphs.providers.offline.test_tools import request, tool
from tests.waiting import not_for_ever


@pytest.mark.parametrize(
    "question",
    [
        "1+" * 100_000,
        "what is " * 40_000 + "?",
        "A" * 200_000,
        "in Hanoi and " * 30_000,
        "(" * 100_000 + "1+1",
        "'" * 90_001,
    ],
)
def test_a_hostile_question_with_tools_does_not_hold_up_the_worker(question: str):
    with not_for_ever():  # a quadratic search takes minutes
        reply(request(question))


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": []},
        {"properties": {"a": True}, "required": ["a", "b"]},
        {"type": "object", "properties": {"a": {"pattern": "("}}, "required": ["a"]},
    ],
)
def test_an_odd_schema_breaks_nothing(schema: dict):
    odd = {"type": "function", "function": {"name": "odd_weather", "parameters": schema}}

    reply(request("What is the odd weather in Hanoi 12345?", (odd, {"type": "function"}, {}), tool_choice="required"))


@pytest.mark.parametrize("pattern", ["^(1+)+$", ".*.*.*.*.*x$", "(1|1)*x", "1*1*1*x$", "[0-9", "(?P<a>1" + "1*" * 300])
def test_a_hostile_pattern_does_not_hold_up_the_worker(pattern: str):
    hostile = tool("hostile", "Takes a code.", {"code": {"type": "string", "pattern": pattern}})
    with not_for_ever():  # backtracking takes for ever
        reply(request(f"hostile code {'1' * 500} {' '.join(['1' * 39] * 12)}", (hostile,)))

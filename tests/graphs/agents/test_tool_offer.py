"""Which tools are offered where an agent has more than the limit."""

import json
from pathlib import Path

from graphs.agents.tool_offer import choose_offered
from graphs.routing.router import Router
from tools.contract import Tool
from tools.registry import builtin_tools

OTHERS = Path(__file__).parents[1] / "providers" / "offline" / "others"
NAMES = {"math": "mathematics", "time": "world_time", "web": "web_search", "data": "analyse_data"}
TOOLS = list(builtin_tools().values())
LIMIT = 5


def offered(question: str, earlier: str = "", **priorities: int) -> list[str]:
    def priority(tool: Tool) -> float:
        return priorities.get(tool.spec.name, 100)

    found = choose_offered(question, earlier, TOOLS, priority, Router(None).likeness)
    return [tool.spec.name for tool in found[:LIMIT]]


def wanted(one: dict) -> str | None:
    if one["tool"] == "memory":
        return one["arguments"]["action"]
    return {"documents": "search_documents", **NAMES}.get(one["tool"], one["tool"])


def test_the_tool_that_others_need_is_among_those_that_are_offered():
    asked = [json.loads(line) for line in (OTHERS / "seen.jsonl").read_text().splitlines()]
    asked = [one for one in asked if one["tool"] != "none"]
    assert len(TOOLS) > LIMIT
    assert 0.95 * len(asked) <= sum(wanted(one) in offered(one["text"]) for one in asked)


def test_what_fits_nothing_is_offered_what_has_the_highest_priority():
    assert ["python", "recall"] == offered("hm", python=900, recall=800)[:2]


def test_an_afterthought_is_offered_the_tool_of_what_it_follows():
    assert "weather" == offered("and in three days?", "What is the weather in Hanoi?")[0]


def test_likeness_of_words_decides_among_those_that_nothing_else_tells():
    found = choose_offered("hm", "", TOOLS, lambda _: 100, lambda _, others: [float("Python" in one) for one in others])
    assert "python" == found[0].spec.name

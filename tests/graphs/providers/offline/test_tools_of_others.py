"""Which built-in tool the offline model calls for what people asked who had not seen it; all built-in tools are on offer.

`others/seen.jsonl` may be looked at; of `others/unseen.jsonl` only the total is ever printed, once per release:
`python -m tests.graphs.providers.offline.test_tools_of_others`. The arguments are not compared: the sets name them differently.
"""

import json
from pathlib import Path

from graphs.providers.contract import Message
from graphs.providers.offline.conversation import read_conversation
from graphs.providers.offline.tool_choice import Tool, plan_calls
from tools.registry import builtin_tools

OTHERS = Path(__file__).parent / "others"
NAMES = {
    "math": "mathematics",
    "time": "world_time",
    "web": "web_search",
    "data": "analyse_data",
    "documents": "search_documents",
}
TOOLS = [Tool(one.spec.name, one.spec.description, one.spec.parameters) for one in builtin_tools().values()]


def count_right(half: str) -> tuple[int, int]:
    """Return how often the right tool is called, or none where none is wanted, and how many were asked."""
    asked = [json.loads(line) for line in (OTHERS / f"{half}.jsonl").read_text().splitlines()]
    return sum(_called(one["text"]) == _wanted(one) for one in asked), len(asked)


def _wanted(one: dict[str, str | dict[str, str]]) -> str | None:
    arguments, tool = one["arguments"], str(one["tool"])
    if tool == "memory" and isinstance(arguments, dict):
        return arguments["action"]
    return None if tool == "none" else NAMES.get(tool, tool)


def _called(text: str) -> str | None:
    calls = plan_calls(read_conversation([Message.of("user", text)]), TOOLS).calls
    return calls[0][1].name if calls else None


def test_the_right_tool_is_called_for_most_of_what_others_ask():
    right, asked = count_right("seen")
    assert (60, True) == (asked, right >= 42)


if __name__ == "__main__":
    print({half: count_right(half) for half in ("seen", "unseen")})

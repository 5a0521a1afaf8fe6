"""Where a request is marked for the vendor's cache of prompts.

What was read up to a mark costs a tenth the next time within five minutes, and a quarter more the first time. So it pays where
the same beginning is sent again: tools and a system prompt with every step of an agent, and the conversation so far with every
further turn. A client that has set marks itself knows better: then none is added.
"""

from typing import Any

Json = dict[str, Any]

MARK: Json = {"type": "ephemeral"}
MAX_MARKS = 4
MIN_CHARS = 4096
"""The vendor caches no prompt below 512 to 4,096 tokens, depending on the model: shorter ones are left alone."""


def mark_for_cache(body: Json) -> None:
    """Mark the end of the tools, of the system prompt, and of the conversation if more of it will follow; keep at most four
    of a client's own marks."""
    blocks = [block for block in _blocks(body) if "cache_control" in block]
    if blocks or "cache_control" in body:
        _keep_few(blocks, MAX_MARKS - ("cache_control" in body))
        return
    if _size(body) < MIN_CHARS:
        return
    if body.get("tools"):
        body["tools"][-1] = {**body["tools"][-1], "cache_control": MARK}
    if body.get("system"):
        body["system"][-1]["cache_control"] = MARK
    if len(body["messages"]) > 1 or body.get("tools"):
        _mark_last(body["messages"][-1]["content"])


def _mark_last(content: list[Json]) -> None:
    """Mark the last block that may be marked: thoughts may not."""
    for block in reversed(content):
        if block["type"] in ("text", "image", "tool_use", "tool_result", "document"):
            block["cache_control"] = MARK
            return


def _keep_few(marked: list[Json], most: int) -> None:
    """Drop the earliest marks: a later one covers what is before it."""
    for block in marked[: max(0, len(marked) - most)]:
        del block["cache_control"]


def _blocks(body: Json) -> list[Json]:
    messages = [block for message in body["messages"] for block in message["content"]]
    return [*body.get("tools", ()), *body.get("system", ()), *messages]


def _size(body: Json) -> int:
    """Return about how many characters the prompt has; images count as many."""
    return sum(_chars(block) for block in _blocks(body))


def _chars(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(_chars(inner) for inner in value.values())
    return sum(_chars(inner) for inner in value) if isinstance(value, list | tuple) else 0

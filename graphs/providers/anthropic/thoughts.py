"""Signed thoughts: how they are kept in a message, and put back where they were.

The vendor refuses an answer that comes back without its thoughts, or with changed ones, while tools run. They travel in the
field `thinking_blocks` of a message in OpenAI's format, as LiteLLM and the clients made for it have it, as the vendor sent
them. `after` is ours: how many characters of text and how many calls were before the thought.
"""

from typing import Any

Json = dict[str, Any]

FIELD = "thinking_blocks"
AFTER = "after"
_FIELDS = {"thinking": ("thinking", "signature"), "redacted_thinking": ("data",)}


def thought_blocks(extra: Json) -> list[tuple[tuple[int, int], Json]]:
    """Return a message's thoughts, each with its place, as they go back. What is not signed is none of the vendor's."""
    found = extra.get(FIELD)
    blocks = [_read(block) for block in found] if isinstance(found, list) else []
    return [block for block in blocks if block is not None]


def _read(block: Any) -> tuple[tuple[int, int], Json] | None:
    if not isinstance(block, dict) or block.get("type") not in _FIELDS:
        return None
    names = _FIELDS[block["type"]]
    if not all(isinstance(block.get(name), str) for name in names) or not block[names[-1]]:
        return None
    match block.get(AFTER):
        case [int(chars), int(calls)] if chars >= 0 and calls >= 0:
            place = (chars, calls)
        case _:
            place = (0, 0)
    return place, {"type": block["type"], **{name: block[name] for name in names}}


def interleave(text: str, calls: list[Json], thoughts: list[tuple[tuple[int, int], Json]]) -> list[Json]:
    """Return the blocks of an answer: text, calls, and thoughts where they were among them."""
    blocks: list[Json] = []
    written, called = 0, 0
    for (chars, count), thought in thoughts:
        if chars > written:
            _add_text(blocks, text[written:chars])
            written = max(written, min(chars, len(text)))
        if count > called:
            _add_text(blocks, text[written:])
            written = len(text)
            blocks += calls[called:count]
            called = min(count, len(calls))
        blocks.append(thought)
    _add_text(blocks, text[written:])
    return blocks + calls[called:]


def _add_text(blocks: list[Json], text: str) -> None:
    if text.strip():
        blocks.append({"type": "text", "text": text})

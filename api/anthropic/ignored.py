"""What of a request's blocks and tools has no effect, for the header that names it."""

from collections.abc import Iterator
from typing import get_args

import msgspec
from msgspec import Raw

from api.anthropic.block_schemas import Block, ToolReferenceBlockIn
from api.anthropic.options import TOOL_FIELDS
from api.http.bodies.json_body import says_nothing

FIELDS = {
    str(kind.__struct_config__.tag): {"type", *kind.__struct_fields__}
    for kind in (*get_args(Block), ToolReferenceBlockIn)
}
"""The fields of a block that are read, by its type."""


class _Turn(msgspec.Struct):
    content: Raw = Raw(b"null")


class _Body(msgspec.Struct):
    messages: list[_Turn]
    system: Raw = Raw(b"null")
    tools: list[dict[str, Raw]] | None = None


_read = msgspec.json.Decoder(_Body).decode
_blocks = msgspec.json.Decoder(list[dict[str, Raw]]).decode


def ignored_inside(body: bytes, *, native: bool) -> list[str]:
    """Return the names of fields of a valid request's blocks and tools that change nothing, each once. `native`: one of
    Anthropic's models is asked, which gets its tools as they are. Marks for its cache are not named: they ask for nothing."""
    sent = _read(body)
    found = dict.fromkeys(_unknown(sent.system, "system"))
    for turn in sent.messages:
        found |= dict.fromkeys(_unknown(turn.content, "messages.content"))
    if not native:
        found |= dict.fromkeys(f"tools.{name}" for tool in sent.tools or () for name in tool.keys() - TOOL_FIELDS)
    return list(found)


def _unknown(content: Raw, place: str) -> Iterator[str]:
    if bytes(memoryview(content)[:1]) != b"[":
        return
    for block in _blocks(content):
        known = FIELDS.get(msgspec.json.decode(block["type"]), set())
        for name, value in block.items():
            if name not in known and not says_nothing(value):
                yield f"{place}.{name}"
        if "content" in block and place == "messages.content":
            yield from _unknown(block["content"], f"{place}.content")

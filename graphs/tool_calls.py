"""Tool calls as models say them: in pieces, and in OpenAI's shape."""

from collections.abc import Mapping
from typing import Any

from graphs.providers.contract import ToolCallDelta


def as_openai(call: Mapping[str, str]) -> dict[str, Any]:
    """Return a call ({id, name, arguments}) in OpenAI's shape."""
    return {
        "id": call["id"],
        "type": "function",
        "function": {"name": call["name"], "arguments": call["arguments"]},
    }


class ToolCalls:
    """Tool calls that arrive in pieces, in OpenAI's shape."""

    def __init__(self) -> None:
        self._calls: dict[int, dict[str, str]] = {}

    def add(self, delta: ToolCallDelta) -> dict[str, Any]:
        """Take a piece and return it as a streamed chunk spells it."""
        call = self._calls.setdefault(delta.index, {"id": "", "name": "", "arguments": ""})
        call["id"] = delta.id or call["id"]
        call["name"] += delta.name
        call["arguments"] += delta.arguments
        piece: dict[str, Any] = {"index": delta.index, "function": {"arguments": delta.arguments}}
        if delta.id or delta.name:
            piece |= {"id": call["id"], "type": "function"}
            piece["function"] = {"name": delta.name, "arguments": delta.arguments}
        return piece

    @property
    def plain(self) -> list[dict[str, str]]:
        """The calls so far, in order, as {id, name, arguments}."""
        return [call for _, call in sorted(self._calls.items())]

    def whole(self) -> list[dict[str, Any]] | None:
        """Return the finished calls, or None if there was none."""
        return [as_openai(call) for call in self.plain] or None

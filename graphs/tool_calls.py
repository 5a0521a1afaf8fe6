"""Assembles the tool calls that models stream, in OpenAI's format."""

from collections.abc import Mapping
from typing import Any

from graphs.providers.contract import ToolCallDelta


def as_openai(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call ({id, name, arguments} and perhaps the vendor's extra) in OpenAI's format."""
    return {
        **call.get("extra", {}),
        "id": call["id"],
        "type": "function",
        "function": {"name": call["name"], "arguments": call["arguments"]},
    }


class ToolCalls:
    """Tool calls that arrive in deltas."""

    def __init__(self) -> None:
        self._calls: dict[int, dict[str, Any]] = {}

    def add(self, delta: ToolCallDelta) -> dict[str, Any]:
        """Add a delta and return it in the format of OpenAI's stream chunks."""
        call = self._calls.setdefault(delta.index, {"id": "", "name": "", "arguments": ""})
        call["id"] = delta.id or call["id"]
        call["name"] += delta.name
        call["arguments"] += delta.arguments
        if delta.extra:
            call["extra"] = call.get("extra", {}) | delta.extra
        chunk: dict[str, Any] = {**delta.extra, "index": delta.index, "function": {"arguments": delta.arguments}}
        if delta.id or delta.name:
            chunk |= {"id": call["id"], "type": "function"}
            chunk["function"] = {"name": delta.name, "arguments": delta.arguments}
        return chunk

    @property
    def in_order(self) -> list[dict[str, Any]]:
        """The calls so far, in order, as {id, name, arguments} and perhaps the vendor's extra."""
        return [call for _, call in sorted(self._calls.items())]

    @property
    def have_extra(self) -> bool:
        """Whether a call has an extra of its vendor's."""
        return any("extra" in call for call in self._calls.values())

    def all_as_openai(self) -> list[dict[str, Any]] | None:
        """Return the finished calls, or None if there was none."""
        return [as_openai(call) for call in self.in_order] or None

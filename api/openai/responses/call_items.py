"""Calls in a response: functions that the client is to run, and tools that an agent has run here.

Pieces of parallel calls may come interleaved, so function calls stay open until the message is complete.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from api.openai.responses.event_writer import EventWriter
from schema.events import ToolFinished, ToolStarted

SERVER_LABEL = "headrace"


class FunctionCalls:
    """Writes the events of calls that the client is to run. `namespaced` are functions by the name that the model knows."""

    def __init__(self, writer: EventWriter, namespaced: Mapping[str, tuple[str, str]]) -> None:
        self._writer, self._namespaced = writer, namespaced
        self._open: dict[int, int] = {}
        self._ids: set[str] = set()

    @property
    def made(self) -> bool:
        """Whether there is a call."""
        return bool(self._open)

    def add(self, piece: dict[str, Any]) -> None:
        """Write a piece of a call, in OpenAI's shape: the first of an `index` has its id and name."""
        number, function = piece.get("index", 0), piece.get("function") or {}
        if number not in self._open:
            self._begin(number, piece.get("id") or "", function.get("name") or "")
        if arguments := function.get("arguments"):
            self._add_arguments(self._open[number], arguments)

    def add_whole(self, calls: Sequence[dict[str, Any]]) -> None:
        """Write those of all calls that did not come in pieces."""
        for number, call in enumerate(calls):
            if number not in self._open:
                self.add({**call, "index": number})

    def close(self, status: str = "completed") -> None:
        """Complete all calls."""
        for index in self._open.values():
            item = self._writer.items[index]
            if item["status"] != "in_progress":
                continue
            place = self._writer.place(index)
            arguments = {"name": item["name"], "arguments": item["arguments"]}
            self._writer.tell("response.function_call_arguments.done", **place, **arguments)
            item["status"] = status
            self._writer.close_item(index)

    def _begin(self, number: int, call_id: str, name: str) -> None:
        if not call_id or call_id in self._ids:  # vendors may repeat one, and clients take those for one call
            call_id = f"{call_id or 'call'}_{len(self._writer.items)}"
        self._ids.add(call_id)
        namespace, name = self._namespaced.get(name, (None, name))
        fields = {"call_id": call_id, "name": name, **({"namespace": namespace} if namespace else {})}
        self._open[number] = self._writer.open_item("fc", "function_call", status="in_progress", arguments="", **fields)

    def _add_arguments(self, index: int, arguments: str) -> None:
        self._writer.items[index]["arguments"] += arguments
        self._writer.tell("response.function_call_arguments.delta", **self._writer.place(index), delta=arguments)


class ToolRuns:
    """Writes the events of tools that an agent has run. An attempt that takes over repeats some, by their call ids."""

    def __init__(self, writer: EventWriter) -> None:
        self._writer = writer
        self._runs: dict[str, int] = {}

    def start(self, event: ToolStarted) -> None:
        """Write that a tool was called."""
        if event.call_id in self._runs:
            return
        arguments = msgspec.json.encode(event.arguments).decode()
        fields = {"server_label": SERVER_LABEL, "name": event.name, "arguments": "", "output": None, "error": None}
        index = self._writer.open_item("mcp", "mcp_call", status="in_progress", approval_request_id=None, **fields)
        self._runs[event.call_id] = index
        self._writer.tell("response.mcp_call.in_progress", **self._writer.place(index))
        self._writer.items[index]["arguments"] = arguments
        self._writer.tell("response.mcp_call_arguments.done", **self._writer.place(index), arguments=arguments)

    def finish(self, event: ToolFinished) -> None:
        """Write what came of a call."""
        index = self._runs.get(event.call_id)
        if index is not None:
            self._end(index, ok=event.ok, output=event.output)

    def close(self) -> None:
        """Complete the calls that were never finished: their attempt was lost, or the job ended."""
        for index in self._runs.values():
            self._end(index, ok=False, output="The tool did not finish.")

    def _end(self, index: int, *, ok: bool, output: str) -> None:
        item = self._writer.items[index]
        if item["status"] != "in_progress":
            return
        error = {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": output}]}
        item |= {"status": "completed", "output": output} if ok else {"status": "failed", "error": error}
        self._writer.tell(
            "response.mcp_call.completed" if ok else "response.mcp_call.failed", **self._writer.place(index)
        )
        self._writer.close_item(index)

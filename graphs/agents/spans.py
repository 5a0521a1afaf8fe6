"""Spans of what agents and pipelines do: the nodes of their graphs, and tool calls."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from langgraph.config import get_config

from graphs.agents.contract import CallResult
from schema.tracing import attributes as names
from schema.tracing.lost import note_step, record_lost_call, record_lost_node
from schema.tracing.spans import Span, current_span, is_recording, span
from tools.contract import Tool
from tools.errors import ToolInterrupted

DATASTORES = {"RAG", "SQL", "CUBE"}


def traced(name: str, node: Callable[..., Awaitable[Any]], *, each_step_stored: bool = False) -> Callable[..., Any]:
    """Return a graph's node with a span around it. `each_step_stored`: a run that is resumed begins with the nodes that were
    under way; otherwise it may begin before them."""

    @wraps(node)  # LangGraph looks at the names of its parameters
    async def run(*args: Any, **kwargs: Any) -> Any:
        if not is_recording():
            return await node(*args, **kwargs)
        step: int = get_config()["metadata"]["langgraph_step"]
        with span(name, attributes={names.NODE: name}, key=f"{name} {step}") as this:
            note_step(this, step)
            if each_step_stored:
                record_lost_node(name, {names.NODE: name})
            return await node(*args, **kwargs)

    return run


def note_unfinished(tool: Tool, call_id: str, recorded: CallResult | None) -> None:
    """If a call that begins was under way in a lost attempt, record that, and the node in which it was."""
    if is_recording() and (recorded is None or recorded.code == ToolInterrupted.code):
        node = current_span().key.partition(" ")[0]
        record_lost_node(node, {names.NODE: node})
        record_lost_call(_name(tool), _attributes(tool, call_id), key=call_id)


def tool_span(tool: Tool, call_id: str) -> Span:
    """The span of one call."""
    return span(_name(tool), attributes=_attributes(tool, call_id), key=call_id) if is_recording() else span("")


def _name(tool: Tool) -> str:
    return f"{names.EXECUTE_TOOL} {tool.spec.name}"


def _attributes(tool: Tool, call_id: str) -> dict[str, Any]:
    kind = tool.spec.kind
    return {
        names.OPERATION: names.EXECUTE_TOOL,
        names.TOOL_NAME: tool.spec.name,
        names.TOOL_TYPE: "datastore" if kind in DATASTORES else "extension" if kind else "function",
        names.TOOL_CALL_ID: call_id,
    }

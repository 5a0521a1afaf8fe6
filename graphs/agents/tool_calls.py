"""Tool calls: checked against what the agent may use, made once each, reported as events, marked as data for the model.

A call with side effects needs the user's confirmation once text from outside has been read: whoever wrote that text may have
asked for the call. The user confirms with `confirm NAME` in a message of their own, which no model can write for them.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

from graphs.agents.contract import AgentRun, AgentSpec, CallResult
from graphs.agents.emitter import Emitter
from graphs.agents.spans import note_unfinished, tool_span
from graphs.data_marks import DataMark
from graphs.providers.contract import Message, ToolResultPart
from schema.events import ToolFinished, ToolStarted
from schema.tracing import attributes as names
from schema.tracing.content import as_json
from schema.tracing.spans import Span, records_content
from tools.contract import Tool, ToolContext
from tools.errors import NOT_CALLED, ToolFailed, ToolUnconfirmed, ToolUnknown
from tools.execution import call_tool

MAX_EVENT_OUTPUT = 4000
"""Characters of an output that an event carries; the model gets all of it."""


def confirmed_tools(text: str, names: Sequence[str]) -> frozenset[str]:
    """Return the tools that a user's message confirms."""
    words = text.casefold()
    return frozenset(name for name in names if f"confirm {name.casefold()}" in words)


async def call_tools(
    run: AgentRun, agent: AgentSpec, emitter: Emitter, calls: Sequence[dict[str, Any]], *, untrusted: bool
) -> list[CallResult]:
    """Make `calls` ({id, name, arguments}) in parallel; return their results in order."""
    offered = {tool.spec.name: tool for tool in run.offered_tools(agent)}
    for call in calls:
        emitter.emit(ToolStarted(call_id=call["id"], name=call["name"], arguments=event_arguments(call["arguments"])))
    tasks = [_call_and_report(run, offered, emitter, call, untrusted=untrusted) for call in calls]
    return list(await asyncio.gather(*tasks))


async def _call_and_report(
    run: AgentRun, offered: dict[str, Tool], emitter: Emitter, call: dict[str, Any], *, untrusted: bool
) -> CallResult:
    started_at, name = time.monotonic(), call["name"]
    result = await _call_once(run, offered.get(name), call, list(offered), untrusted=untrusted)
    duration_ms = round((time.monotonic() - started_at) * 1000)
    output = result.text if len(result.text) <= MAX_EVENT_OUTPUT else f"{result.text[:MAX_EVENT_OUTPUT]}…"
    emitter.emit(ToolFinished(call_id=call["id"], name=name, ok=result.ok, output=output, duration_ms=duration_ms))
    return result


async def _call_once(
    run: AgentRun, tool: Tool | None, call: dict[str, Any], names: list[str], *, untrusted: bool
) -> CallResult:
    name, call_id = call["name"], call["id"]
    if tool is None:
        message = f"There is no tool {name[:64]!r} here. There are: {', '.join(names) or 'none'}."
        return CallResult(ok=False, text=message, code=ToolUnknown.code)
    if tool.spec.side_effects and untrusted and name not in confirmed_tools(run.question.text, names):
        return CallResult(ok=False, text=confirmation_request(name), code=ToolUnconfirmed.code)
    context = await run.context(call_id)  # before the note: a call that was noted counts as made
    recorded = await run.ledger.begin(call_id, name, side_effects=tool.spec.side_effects)
    note_unfinished(tool, call_id, recorded)
    if recorded is not None:
        return recorded
    with tool_span(tool, call_id) as span:
        result = await _execute(tool, call["arguments"], context, span)
    await run.ledger.end(call_id, name, result)
    return result


async def _execute(tool: Tool, arguments: Any, context: ToolContext, span: Span) -> CallResult:
    try:
        output = await call_tool(tool, arguments, context)
        result = CallResult(ok=True, text=output.text, data=output.data, renderer=output.renderer)
    except ToolFailed as error:
        result = CallResult(ok=False, text=error.message, code=error.code)
        span.fail(error.code)
    if records_content():
        span.set({names.TOOL_ARGUMENTS: as_json(event_arguments(arguments)), names.TOOL_RESULT: as_json(result.text)})
    return result


def confirmation_request(name: str) -> str:
    """What the model is told when the user has to confirm a call."""
    return (
        f"{name} was not called: it changes something, and text from outside was read before. Tell the user what you would do, "
        f'and that they confirm it by a message with the words "confirm {name}".'
    )


def result_message(call: dict[str, Any], result: CallResult, mark: DataMark) -> Message:
    """Return a result as the model sees it."""
    text = mark_result(result, mark)
    return Message("tool", (ToolResultPart(call["id"], text if result.ok else f"Error:\n{text}", call["name"]),))


def mark_result(result: CallResult, mark: DataMark) -> str:
    """Return the text of a result or error, marked as data: even a calculator repeats what it was given. What we ourselves
    tell the model about a call that was not made stays unmarked, or it would not be followed."""
    return result.text if result.code in NOT_CALLED else mark.wrap(result.text)


def event_arguments(arguments: Any) -> dict[str, Any]:
    """Return a call's arguments for an event: always an object, whatever the model wrote."""
    if isinstance(arguments, dict):
        return arguments
    try:
        found = json.loads(arguments)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def returned_untrusted(run: AgentRun, calls: Sequence[dict[str, Any]], results: Sequence[CallResult]) -> bool:
    """Whether these calls returned text from outside, be it as the reason for a failure."""
    pairs = zip(calls, results, strict=True)
    told = [c["name"] for c, r in pairs if (r.ok or r.code == ToolFailed.code) and c["name"] in run.tools]
    return any(run.tools[name].spec.untrusted for name in told)


def has_side_effects(run: AgentRun, calls: Sequence[dict[str, Any]]) -> bool:
    """Whether one of these calls may have changed something."""
    return any(c["name"] in run.tools and run.tools[c["name"]].spec.side_effects for c in calls)

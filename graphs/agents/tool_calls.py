"""Calls of tools: checked against what the agent may use, done once each, told, and fenced for the model.

A tool call that changes something needs the user when text from outside was read before it (G13): whoever wrote that text may
have asked for the call. The user confirms with `confirm NAME` in a message of their own, which no model can write for them.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

from graphs.agents.contract import AgentRun, AgentSpec, CallResult
from graphs.agents.emitter import Emitter
from graphs.agents.prompts import fence
from graphs.providers.contract import Message, ToolResultPart
from schema.events import ToolFinished, ToolStarted
from tools.calling import call_tool
from tools.contract import Tool
from tools.errors import ToolFailed

SHOWN = 4000
"""How much of an output an event carries; the model gets all of it."""


def confirmed_tools(text: str, names: Sequence[str]) -> frozenset[str]:
    """Return the tools that a user's message confirms."""
    words = text.casefold()
    return frozenset(name for name in names if f"confirm {name.casefold()}" in words)


async def call_tools(
    run: AgentRun, agent: AgentSpec, tell: Emitter, calls: Sequence[dict[str, Any]], *, untrusted: bool
) -> list[CallResult]:
    """Do `calls` ({id, name, arguments}) side by side; return their results in order."""
    offered = {tool.spec.name: tool for tool in run.offer(agent)}
    for call in calls:
        tell.event(ToolStarted(call_id=call["id"], name=call["name"], arguments=readable(call["arguments"])))
    done = [_call(run, offered, tell, call, untrusted=untrusted) for call in calls]
    return list(await asyncio.gather(*done))


async def _call(
    run: AgentRun, offered: dict[str, Tool], tell: Emitter, call: dict[str, Any], *, untrusted: bool
) -> CallResult:
    began, name = time.monotonic(), call["name"]
    result = await _result(run, offered.get(name), call, list(offered), untrusted=untrusted)
    took = round((time.monotonic() - began) * 1000)
    output = result.text if len(result.text) <= SHOWN else f"{result.text[:SHOWN]}…"
    tell.event(ToolFinished(call_id=call["id"], name=name, ok=result.ok, output=output, duration_ms=took))
    return result


async def _result(
    run: AgentRun, tool: Tool | None, call: dict[str, Any], names: list[str], *, untrusted: bool
) -> CallResult:
    name, call_id = call["name"], call["id"]
    if tool is None:
        said = f"There is no tool {name[:64]!r} here. There are: {', '.join(names) or 'none'}."
        return CallResult(ok=False, text=said, code="tool_unknown")
    if tool.spec.side_effects and untrusted and name not in confirmed_tools(run.question.text, names):
        return CallResult(ok=False, text=unconfirmed(name), code="tool_unconfirmed")
    kept = await run.ledger.begin(call_id, name, side_effects=tool.spec.side_effects)
    if kept is not None:
        return kept
    try:
        done = await call_tool(tool, call["arguments"], run.context(call_id))
        result = CallResult(ok=True, text=done.text, data=done.data, renderer=done.renderer)
    except ToolFailed as error:
        result = CallResult(ok=False, text=error.message, code=error.code)
    await run.ledger.end(call_id, name, result)
    return result


def unconfirmed(name: str) -> str:
    """What is said of a call that the user has to confirm."""
    return (
        f"{name} was not called: it changes something, and text from outside was read before. Tell the user what you would do, "
        f'and that they confirm it by a message with the words "confirm {name}".'
    )


def result_message(run: AgentRun, call: dict[str, Any], result: CallResult) -> Message:
    """Return what the model is shown of a result: text from outside is fenced as data (G13)."""
    tool = run.tools.get(call["name"])
    text = fence(result.text) if tool is not None and tool.spec.untrusted and result.ok else result.text
    return Message("tool", (ToolResultPart(call["id"], text if result.ok else f"Error: {text}", call["name"]),))


def readable(arguments: Any) -> dict[str, Any]:
    """Return a call's arguments for an event: an object, whatever the model wrote."""
    if isinstance(arguments, dict):
        return arguments
    try:
        found = json.loads(arguments)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def is_untrusted(run: AgentRun, calls: Sequence[dict[str, Any]], results: Sequence[CallResult]) -> bool:
    """Whether these calls brought text from outside."""
    pairs = zip(calls, results, strict=True)
    return any(r.ok and c["name"] in run.tools and run.tools[c["name"]].spec.untrusted for c, r in pairs)


def has_acted(run: AgentRun, calls: Sequence[dict[str, Any]]) -> bool:
    """Whether one of these calls may have changed something."""
    return any(c["name"] in run.tools and run.tools[c["name"]].spec.side_effects for c in calls)

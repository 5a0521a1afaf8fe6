"""Makes the listed LangChain tools tools of headrace. Each call runs in a process of its own (`child.py`)."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog

from schema.errors import InputError
from tools.contract import FunctionTool, Tool, ToolContext, ToolResult, ToolSpec
from tools.egress import EgressPolicy
from tools.errors import ToolBadArguments, ToolFailed, ToolRefused, ToolTimeout, ToolTooLarge, ToolUnavailable
from tools.langchain.child import Request, allowed_by
from tools.langchain.listing import LangChainTool
from tools.parameter_schema import check_schema
from tools.run_sandboxed import ROOT
from tools.subprocesses import run_subprocess

log = structlog.get_logger()

PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from tools.langchain.child import main; main()"
DESCRIBE_S = 120.0
"""The packages of all are imported, on a machine that starts other processes at the same time."""
MAX_OUTPUT_BYTES = 1024 * 1024


def langchain_tools(listed: Sequence[LangChainTool]) -> list[Tool]:
    """Return the tools of the operator's list, described by their classes in one process. One that can't be built is logged and
    left out."""
    described = zip(listed, _describe(listed), strict=False)
    return [found for one, reply in described if (found := _described(one, reply)) is not None]


def _describe(listed: Sequence[LangChainTool]) -> list[dict[str, Any]]:
    if not listed:
        return []
    request, limit_s = _request(listed, EgressPolicy(), None), DESCRIBE_S
    try:
        run = subprocess.run(_command(), input=request, capture_output=True, timeout=limit_s, check=False)  # noqa: S603
        return json.loads(run.stdout)
    except (ValueError, OSError, subprocess.TimeoutExpired) as error:
        log.error("langchain_tools_refused", reason=type(error).__name__)
        return []


def _described(tool: LangChainTool, reply: Mapping[str, Any]) -> Tool | None:
    try:
        if "error" in reply:
            raise InputError(reply["error"])
        return _tool(tool, reply["answer"])
    except (InputError, ValueError, KeyError) as error:
        listed, reason = tool.listed, str(getattr(error, "message", error))[:400]
        log.error("langchain_tool_refused", tool=listed.name, class_name=listed.class_name, reason=reason)
        return None


def _tool(tool: LangChainTool, described: Mapping[str, Any]) -> Tool:
    listed, parameters = tool.listed, described["parameters"]
    check_schema(parameters)
    spec = ToolSpec(
        name=listed.name or str(described["name"]).replace(" ", "_"),
        description=(listed.description or str(described["description"]))[:4000],
        parameters=parameters,
        side_effects=listed.side_effects,
        untrusted=True,
        timeout_s=listed.timeout_s,
        kind="langchain",
    )

    async def call(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        return _result(await _run(tool, arguments, context))

    return FunctionTool(spec, call)


async def _run(tool: LangChainTool, arguments: dict[str, Any], context: ToolContext) -> Any:
    request, limit_s = _request([tool], await context.egress(), arguments), tool.listed.timeout_s
    ended = await run_subprocess(_command(), request, timeout_s=limit_s, max_bytes=MAX_OUTPUT_BYTES)
    if ended.timed_out:
        raise ToolTimeout(f"This did not finish within {limit_s:g} seconds; ask for less.")
    if ended.too_large:
        raise ToolTooLarge("The result is too large; ask for a part of it.")
    try:
        (reply,) = json.loads(ended.stdout)
    except ValueError:
        raise ToolUnavailable(
            "The tool's process ended without an answer; an admin must look into its packages."
        ) from None
    match reply:
        case {"kind": "refused", "error": str(why)}:
            raise ToolRefused(why)
        case {"kind": "broken"}:
            raise ToolUnavailable("The tool can't be built from its list; an admin must look into it.")
        case {"kind": "arguments", "error": str(why)}:
            raise ToolBadArguments(f"The tool failed ({why}). Try other arguments, or continue without it.")
        case {"kind": "failed", "error": str(why)}:
            raise ToolFailed(f"The tool failed ({why}). Continue without it.")
        case {"answer": answer}:
            return answer
        case _:
            raise ToolFailed("The tool answered with something that can't be read.")


def _result(answer: Any) -> ToolResult:
    if isinstance(answer, str):
        return ToolResult(answer)
    return ToolResult(json.dumps(answer, ensure_ascii=False, default=str), data=answer)


def _request(listed: Sequence[LangChainTool], policy: EgressPolicy, call: dict[str, Any] | None) -> bytes:
    return msgspec.json.encode(Request([one.made for one in listed], allowed_by(policy), call))


def _command() -> list[str]:
    return [sys.executable, "-I", "-B", "-c", PROGRAM, str(ROOT)]

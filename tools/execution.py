"""Calls a tool within limits: arguments are validated, time and size are limited, and every failure is a ToolFailed.

    raw arguments ── parsed, repaired, validated ──► run with a timeout ──► text truncated, data made plain JSON
          └ ToolBadArguments                        └ ToolTimeout; anything else becomes ToolFailed

Cancelling the caller cancels the tool. A tool that ignores its cancellation is abandoned after a short grace period.
"""

import asyncio
import time
from typing import Any

import msgspec
import structlog

from schema.errors import EgressFailed, EgressRefused, EgressTooLarge, HeadraceError
from schema.metrics.catalog import TOOL_CALL
from schema.metrics.figures import FIGURES
from tools.arguments import read_arguments
from tools.contract import Tool, ToolContext, ToolResult
from tools.errors import ToolFailed, ToolRefused, ToolTimeout, ToolTooLarge, ToolUnavailable
from tools.parameter_schema import check_schema

__all__ = ["call_tool", "check_schema"]

log = structlog.get_logger()

CANCEL_GRACE_S = 2.0
"""How long a cancelled tool may take to clean up before it is abandoned."""


async def call_tool(tool: Tool, raw_arguments: str | dict[str, Any], context: ToolContext) -> ToolResult:
    """Return the tool's result, no larger than `spec.max_bytes` of UTF-8. Raises ToolFailed and nothing else;
    cancellation passes through."""
    began, outcome = time.perf_counter(), "cancelled"
    try:
        result = await _call(tool, raw_arguments, context)
        outcome = "ok"
    except ToolFailed as error:
        outcome = error.code
        raise
    finally:
        TOOL_CALL.of(tool.spec.kind or tool.spec.name, outcome).observe(time.perf_counter() - began)
        if outcome != "cancelled":
            FIGURES.note_tool(context.tenant_id, ok=outcome == "ok")
    return result


async def _call(tool: Tool, raw_arguments: str | dict[str, Any], context: ToolContext) -> ToolResult:
    spec = tool.spec
    if missing := spec.rights - context.rights:
        raise ToolRefused(f"{spec.name} requires the right {', '.join(sorted(missing))}; ask an admin.")
    try:
        arguments = read_arguments(raw_arguments, spec.parameters)
        return limit_result(await _run_with_timeout(tool, arguments, context), spec.max_bytes)
    except ToolFailed:
        raise
    except HeadraceError as error:
        raise _as_tool_error(error) from None
    except Exception as error:
        log.exception(
            "tool_failed", tool=spec.name, tenant_id=context.tenant_id, job_id=context.job_id, call_id=context.call_id
        )
        raise ToolFailed(
            f"{spec.name} failed unexpectedly ({type(error).__name__}). Try other arguments, or continue without it."
        ) from None


async def _run_with_timeout(tool: Tool, arguments: dict[str, Any], context: ToolContext) -> ToolResult:
    """Run the tool as a separate task, so that one that ignores its cancellation can't block the caller."""
    run = asyncio.ensure_future(tool.run(arguments, context))
    try:
        await asyncio.wait({run}, timeout=tool.spec.timeout_s)
        if run.cancelled():
            raise ToolFailed(f"{tool.spec.name} was cancelled; try again or continue without it.")
        if run.done():
            return run.result()
        raise ToolTimeout(
            f"{tool.spec.name} did not finish within {tool.spec.timeout_s:g} seconds. Ask for less, or continue without it."
        )
    finally:
        await _cancel_and_wait(run, tool.spec.name)


async def _cancel_and_wait(run: "asyncio.Future[ToolResult]", name: str) -> None:
    """Cancel the task if it is still running, and wait briefly for it."""
    if run.done():
        return
    run.cancel()
    await asyncio.wait({run}, timeout=CANCEL_GRACE_S)
    if not run.done():
        log.warning("tool_left_behind", tool=name)
        run.add_done_callback(_retrieve_exception)
    else:
        _retrieve_exception(run)


def _retrieve_exception(run: "asyncio.Future[ToolResult]") -> None:
    """Retrieve the exception, or asyncio logs that it was never retrieved."""
    if not run.cancelled():
        run.exception()


def _as_tool_error(error: HeadraceError) -> ToolFailed:
    """Convert our own errors to ToolFailed. Their messages contain no secrets, so they are kept."""
    if isinstance(error, EgressRefused):
        return ToolRefused(error.message)
    if isinstance(error, EgressTooLarge):
        return ToolTooLarge(error.message)
    if isinstance(error, EgressFailed):
        return ToolUnavailable(error.message)
    return ToolFailed(error.message, field=error.field)


def limit_result(result: Any, max_bytes: int) -> ToolResult:
    """The result with its text truncated and its data as plain JSON, dropped if too large. Raises ToolFailed for an invalid
    result."""
    if not isinstance(result, ToolResult) or not isinstance(result.text, str):
        raise ToolFailed("The tool returned an invalid result; tell an admin.")
    text, cut = truncate_text(result.text, max_bytes)
    try:
        packed = msgspec.json.encode(result.data)
    except (TypeError, ValueError, RecursionError):
        raise ToolFailed("The tool returned data that can't be encoded as JSON; tell an admin.") from None
    if len(packed) > max_bytes:
        return ToolResult(text, None, result.renderer, truncated=True)
    data = msgspec.json.decode(packed.replace(b"\\u0000", b""))
    return ToolResult(text, data, result.renderer, result.truncated or cut)


def truncate_text(text: str, max_bytes: int) -> tuple[str, bool]:
    """Truncate the text to `max_bytes` of UTF-8, with a note in it that says so; return it and whether it was truncated."""
    packed = text.replace("\x00", "").encode("utf-8", "replace")  # Postgres accepts no NUL, UTF-8 no lone surrogates
    if len(packed) <= max_bytes:
        return packed.decode(), False
    note = f"\n[truncated: {len(packed):,} bytes in all, at most {max_bytes:,} are shown]"
    kept = packed[: max(0, max_bytes - len(note.encode()))].decode("utf-8", "ignore")
    return (kept + note).encode()[:max_bytes].decode("utf-8", "ignore"), True

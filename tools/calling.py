"""One call of a tool, held in bounds: arguments checked, time and size limited, every failure a sentence (T5).

    raw arguments ── read, mended, checked ──► run, with a time limit ──► text cut to its size, data made plain JSON
          └ ToolBadArguments                        └ ToolTimeout, and whatever else went wrong as ToolFailed

Cancelling the caller cancels the tool. A tool that does not end when it is cancelled is left behind after a short while.
"""

import asyncio
from typing import Any

import msgspec
import structlog

from schema.errors import EgressFailed, EgressRefused, EgressTooLarge, HeadraceError
from tools.arguments import read_arguments
from tools.contract import Tool, ToolContext, ToolResult
from tools.errors import ToolFailed, ToolRefused, ToolTimeout, ToolTooLarge, ToolUnavailable
from tools.parameters import check_schema

__all__ = ["call_tool", "check_schema"]

log = structlog.get_logger()

CANCEL_GRACE_S = 2.0
"""How long a cancelled tool may take to tidy up before it is left behind."""


async def call_tool(tool: Tool, raw_arguments: str | dict[str, Any], context: ToolContext) -> ToolResult:
    """Return the tool's result, no larger than `spec.max_bytes` of UTF-8. Raises ToolFailed and nothing else;
    cancellation passes through."""
    spec = tool.spec
    if missing := spec.rights - context.rights:
        raise ToolRefused(f"{spec.name} may be used by callers with the right {', '.join(sorted(missing))} only.")
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
            f"{spec.name} failed inside ({type(error).__name__}). Try other arguments, or go on without it."
        ) from None


async def _run_with_timeout(tool: Tool, arguments: dict[str, Any], context: ToolContext) -> ToolResult:
    """The tool's own result. A task of its own, so that one that swallows its cancellation can't hold the caller."""
    run = asyncio.ensure_future(tool.run(arguments, context))
    try:
        await asyncio.wait({run}, timeout=tool.spec.timeout_s)
        if run.cancelled():
            raise ToolFailed(f"{tool.spec.name} stopped by itself; try again or go on without it.")
        if run.done():
            return run.result()
        raise ToolTimeout(
            f"{tool.spec.name} did not end within {tool.spec.timeout_s:g} seconds. Ask it for less, or go on without it."
        )
    finally:
        await _cancel_and_wait(run, tool.spec.name)


async def _cancel_and_wait(run: "asyncio.Future[ToolResult]", name: str) -> None:
    """Cancel what still runs; wait a little for it."""
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
    """Look at the outcome, or asyncio complains that nobody did."""
    if not run.cancelled():
        run.exception()


def _as_tool_error(error: HeadraceError) -> ToolFailed:
    """Our own sentences hold no secrets, so they are kept; only the class changes."""
    if isinstance(error, EgressRefused):
        return ToolRefused(error.message)
    if isinstance(error, EgressTooLarge):
        return ToolTooLarge(error.message)
    if isinstance(error, EgressFailed):
        return ToolUnavailable(error.message)
    return ToolFailed(error.message, field=error.field)


def limit_result(result: Any, max_bytes: int) -> ToolResult:
    """The result with its text cut at a character's border and its data as plain JSON, or none where that is too large.
    Raises ToolFailed for what is no result."""
    if not isinstance(result, ToolResult) or not isinstance(result.text, str):
        raise ToolFailed("The tool answered with something that is no result; tell an admin.")
    text, cut = truncate_text(result.text, max_bytes)
    try:
        packed = msgspec.json.encode(result.data)
    except (TypeError, ValueError, RecursionError):
        raise ToolFailed("The tool answered with data that is not JSON; tell an admin.") from None
    if len(packed) > max_bytes:
        return ToolResult(text, None, result.renderer, truncated=True)
    data = msgspec.json.decode(packed.replace(b"\\u0000", b""))
    return ToolResult(text, data, result.renderer, result.truncated or cut)


def truncate_text(text: str, max_bytes: int) -> tuple[str, bool]:
    """The text in at most `max_bytes` of UTF-8, and whether something was cut. It says so itself, and how much."""
    packed = text.replace("\x00", "").encode("utf-8", "replace")  # Postgres takes no NUL, UTF-8 no half characters
    if len(packed) <= max_bytes:
        return packed.decode(), False
    note = f"\n[cut: the whole is {len(packed):,} bytes, at most {max_bytes:,} are shown]"
    kept = packed[: max(0, max_bytes - len(note.encode()))].decode("utf-8", "ignore")
    return (kept + note).encode()[:max_bytes].decode("utf-8", "ignore"), True

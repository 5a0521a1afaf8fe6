"""`python`: runs Python code that a model wrote, without files, network or environment, within 5 seconds and limited memory.

There are two modes. `monty` (pydantic-monty, everywhere) interprets a subset of Python that has no files and networks.
`jail` (opt-in, Linux on x86-64) runs full Python with its standard library in the sandbox of `tools/sandbox.py`; if the kernel
does not support it, the call is refused. Code never runs in an unsandboxed process.
"""

import asyncio
import math
import sys
from functools import partial
from pathlib import Path
from typing import Any

from tools.contract import FunctionTool, Tool, ToolContext, ToolResult, ToolSpec
from tools.errors import ToolBadArguments, ToolRefused, ToolTimeout, ToolTooLarge, ToolUnavailable
from tools.sandbox import unsupported_reason
from tools.subprocesses import SubprocessResult, run_subprocess

TIME_S = 5
MONTY_MEMORY_BYTES = 64 << 20
SANDBOX_MB = 512
MAX_OUTPUT_BYTES = 64 * 1024
MAX_CODE_BYTES = 10 * 1024
SANDBOX_PROGRAM = Path(__file__).parents[1] / "sandbox.py"
MODE_SETTING = "PYTHON_MODE"
"""The setting; `jail` opts in to the sandbox."""

SPEC = ToolSpec(
    name="python",
    description=(
        "Run a short Python program and get what it prints, or the value of its last line. There are no files, no "
        "network and no installed packages; math, json, re, datetime, random, collections, itertools, functools, decimal "
        "and csv can be imported. It has 5 seconds. Print what you want to see."
    ),
    parameters={
        "type": "object",
        "properties": {
            "code": {"type": "string", "description": "The program", "minLength": 1, "maxLength": MAX_CODE_BYTES}
        },
        "required": ["code"],
        "additionalProperties": False,
    },
    timeout_s=TIME_S + 5.0,
)


async def run_code(time_s: float, arguments: dict[str, Any], context: ToolContext) -> ToolResult:
    """Raises ToolBadArguments with the program's own error, ToolTimeout, ToolTooLarge, ToolRefused."""
    code = arguments["code"]
    if len(code.encode("utf-8", "replace")) > MAX_CODE_BYTES:
        raise ToolTooLarge(f"The program is longer than {MAX_CODE_BYTES:,} bytes; write a shorter one.")
    mode = context.settings.get(MODE_SETTING, "monty")
    if mode not in ("monty", "jail"):
        raise ToolUnavailable(f"{MODE_SETTING} must be monty or jail; an admin must correct it.")
    return await (_run_in_sandbox(code, time_s) if mode == "jail" else _run_in_monty(code, time_s))


async def _run_in_monty(code: str, time_s: float) -> ToolResult:
    """Start a fresh interpreter for each call: it costs some 40 ms, and no state is carried over."""
    import pydantic_monty as monty

    printed = monty.CollectString(max_bytes=MAX_OUTPUT_BYTES)
    limits = monty.ResourceLimits(max_feed_duration_secs=time_s, max_memory=MONTY_MEMORY_BYTES, max_recursion_depth=500)
    try:
        async with (
            monty.AsyncMonty(max_processes=1, request_timeout=time_s + 2.0) as pool,
            pool.checkout(limits=limits, os_policy={"sleep": "zero"}) as session,
        ):
            value = await session.feed_run(code, print_callback=printed)
    except monty.MontySyntaxError as error:
        raise ToolBadArguments(f"SyntaxError: {str(error)[:500]}", field="code") from None
    except monty.MontyRuntimeError as error:
        raise _monty_error(str(error), time_s) from None
    except (monty.MontyError, TimeoutError):
        raise ToolTimeout(f"The program was stopped; it may run for {time_s:g} seconds. Make it do less.") from None
    shown = "" if value is None else await asyncio.to_thread(_safe_repr, value)
    return _result("\n".join(part for part in (printed.output.rstrip("\n"), shown) if part))


def _safe_repr(value: Any) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError):  # integers of more than 4,300 digits can't be printed
        return "[a value that is too large to print]"


def _monty_error(message: str, time_s: float) -> Exception:
    if message.startswith("TimeoutError: feed time limit"):
        return ToolTimeout(f"The program did not finish within {time_s:g} seconds; make it do less.")
    if message.startswith("MemoryError"):
        return ToolTooLarge("The program used too much memory or printed too much; make it do less.")
    if message.startswith(("NotImplementedError", "ModuleNotFoundError")):
        return ToolBadArguments(f"{message[:500]}. Write it without that.", field="code")
    return ToolBadArguments(message[:500], field="code")


async def _run_in_sandbox(code: str, time_s: float) -> ToolResult:
    if reason := unsupported_reason():
        raise ToolRefused(f"{reason} An admin can set {MODE_SETTING} to monty instead.")
    readable = ":".join(dict.fromkeys((sys.base_prefix + "/lib", "/usr/lib", "/lib", "/lib64")))
    argv = [_real_python(), "-I", "-S", "-B", str(SANDBOX_PROGRAM), readable, str(SANDBOX_MB), str(math.ceil(time_s))]
    result = await run_subprocess(
        argv, code.encode("utf-8", "replace"), timeout_s=time_s + 1.0, max_bytes=MAX_OUTPUT_BYTES
    )
    if result.too_large:
        raise ToolTooLarge(f"The program printed more than {MAX_OUTPUT_BYTES:,} bytes; print less.")
    if result.timed_out or result.status in (-9, -24):  # RLIMIT_CPU ends with SIGXCPU or SIGKILL
        raise ToolTimeout(f"The program did not finish within {time_s:g} seconds; make it do less.")
    if result.status:
        raise _sandbox_error(result)
    return _result(result.stdout.decode("utf-8", "replace").rstrip("\n"))


def _real_python() -> str:
    """The base interpreter, not that of our virtual environment, so that our packages can't be imported."""
    return getattr(sys, "_base_executable", "") or sys.executable


def _sandbox_error(result: SubprocessResult) -> Exception:
    lines = result.stderr.decode("utf-8", "replace").strip().splitlines()
    message = lines[-1][:500] if lines else f"it ended with status {result.status}"
    if message.startswith("MemoryError"):
        return ToolTooLarge(f"The program used more than {SANDBOX_MB} MB; make it do less.")
    return ToolBadArguments(message, field="code")


def _result(text: str) -> ToolResult:
    return ToolResult(text or "The program finished and printed nothing; print what you want to see.")


def build(time_s: float = TIME_S) -> Tool:
    return FunctionTool(SPEC, partial(run_code, time_s))

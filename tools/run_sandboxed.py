"""Runs one of our functions in a child process with limited time and memory, sandboxed where the kernel supports it, gone when
the call ends. For work that hostile input could make endless: algebra, tables, images.

    run_sandboxed("tools.algebra.operations:run", request) ─► child: import, enter sandbox, read, run ─► dict, or ToolFailed

The function takes the request and the attached bytes, and returns JSON-serializable data. Not for untrusted code, which must
not run in a process that has our modules (`builtin/python.py`).
"""

import importlib
import json
import resource
import sys
from pathlib import Path
from typing import Any

from tools.errors import (
    ToolBadArguments,
    ToolFailed,
    ToolRefused,
    ToolTimeout,
    ToolTooLarge,
    ToolUnavailable,
)
from tools.sandbox import enter_sandbox, set_resource_limits, unsupported_reason

ROOT = Path(__file__).parents[1]
STARTUP_TIMEOUT_S = 10.0
"""How long the child may take to import what it needs, on top of the time for the request."""

MAX_OUTPUT_BYTES = 1024 * 1024
CHILD_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from tools.run_sandboxed import main; main(*sys.argv[2:])"
ERROR_TYPES = {
    kind.__name__: kind for kind in (ToolBadArguments, ToolTimeout, ToolTooLarge, ToolRefused, ToolUnavailable)
}


async def run_sandboxed(
    function: str, request: dict[str, Any], attachment: bytes = b"", *, time_s: int, megabytes: int = 512
) -> Any:
    """Return what `function` ("module:name") returns. `time_s` is CPU time. Raises ToolTimeout, ToolTooLarge, and whatever
    ToolFailed the function raises."""
    from tools.subprocesses import run_subprocess  # the child doesn't need asyncio and starts faster without it

    argv = [sys.executable, "-I", "-c", CHILD_PROGRAM, str(ROOT), function, str(time_s), str(megabytes)]
    stdin = json.dumps(request).encode() + b"\n" + attachment
    finished = await run_subprocess(argv, stdin, timeout_s=time_s + STARTUP_TIMEOUT_S, max_bytes=MAX_OUTPUT_BYTES)
    if finished.too_large:
        raise ToolTooLarge("The result is too large; ask for a part of it.")
    if finished.timed_out or finished.status in (-9, -24):  # RLIMIT_CPU ends with SIGXCPU or SIGKILL
        raise ToolTimeout(f"This did not finish within {time_s} seconds; ask for less.")
    try:
        reply = json.loads(finished.stdout)
    except ValueError:
        raise ToolTooLarge(f"This used more than {megabytes} MB and was stopped; ask for less.") from None
    if "error" in reply:
        raise ERROR_TYPES.get(reply["kind"], ToolFailed)(reply["error"], field=reply["field"])
    return reply["answer"]


def readable_folders() -> list[str]:
    """The folders of Python and our modules, which late imports in the sandbox must still find."""
    own_folders = [str(ROOT / "tools"), str(ROOT / "schema")]
    return list(dict.fromkeys((*own_folders, sys.prefix, sys.base_prefix + "/lib", "/usr/lib", "/lib", "/lib64")))


def main(function: str, time_s: str, megabytes: str) -> None:
    """Runs in the child. Import time does not count against the limit. Libraries may print; only the reply goes to the real
    standard output."""
    out, sys.stdout = sys.stdout, sys.stderr
    module, _, name = function.partition(":")
    run = getattr(importlib.import_module(module), name)
    import_s = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2])) + 1
    if unsupported_reason():
        set_resource_limits(int(megabytes), int(time_s) + import_s)
    else:
        enter_sandbox(readable_folders(), megabytes=int(megabytes), cpu_s=int(time_s) + import_s)
    request, _, attachment = sys.stdin.buffer.read().partition(b"\n")
    print(json.dumps(_run_function(run, json.loads(request), attachment)), file=out, flush=True)


def _run_function(run: Any, request: dict[str, Any], attachment: bytes) -> dict[str, Any]:
    try:
        return {"answer": run(request, attachment)}
    except ToolFailed as error:
        return {"kind": type(error).__name__, "error": error.message, "field": error.field}
    except (MemoryError, RecursionError):
        message = "This needs more memory than allowed, or is nested too deeply; ask for less."
        return {"kind": "ToolTooLarge", "error": message, "field": None}
    except Exception as error:  # noqa: BLE001 - the edge of this process; libraries raise anything
        about = "" if isinstance(error, OSError) else f": {str(error)[:200]}"  # OSErrors name local folders
        message = f"This can't be done ({type(error).__name__}{about}). Try other arguments."
        return {"kind": "ToolBadArguments", "error": message, "field": None}

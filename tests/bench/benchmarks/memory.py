"""What headrace takes of memory when nothing happens: everything that `./headrace up` starts, from a fresh start.

Pages that several processes share count in part for each of them (PSS), so the sum is what the machine has less of.
"""

import asyncio
import os
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from api.local.http_client import Client
from api.local.stack import RunningStack, find_running
from tests.bench.plan import Plan
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.testbed import Testbed
from tests.system import ROOT, free_port
from tests.waiting import PATIENCE_S

MB = 1 << 20
NEED = 800.0
CHATS = (
    "What is 17 × 23?",
    "According to the handbook, how many days of leave do I have?",
    "What is the debt for customer MST 0104985841?",
)


async def measure_memory(_: Testbed, plan: Plan) -> Measurement:
    """Start everything, wait until it is idle, chat a little, wait again."""
    found = Measurement(name="memory", title="Memory at rest: all processes and stores that `./headrace up` starts")
    async with _up() as (process, stack):
        await asyncio.sleep(plan.rest_s)
        _note(found, "from a fresh start", process.pid)
        async with Client(stack.url, stack.key) as client:
            for message in CHATS:
                async for _event in client.chat(message, agent="auto"):
                    pass
        await asyncio.sleep(plan.rest_s)
        _note(found, f"after {len(CHATS)} chats with agents", process.pid)
    return found


@asynccontextmanager
async def _up() -> AsyncIterator[tuple[asyncio.subprocess.Process, RunningStack]]:
    with tempfile.TemporaryDirectory(prefix="headrace-memory-", dir="/var/tmp") as name:
        folder = Path(name)
        ports = {"HEADRACE_PORT": str(free_port()), "HEADRACE_FLOWER_PORT": str(free_port())}
        with (folder / "up.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "api", "up"),
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "HOME": name, "HEADRACE_HOME": str(folder / "home"), **ports},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield process, await _ready(process, folder)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
            await process.wait()


async def _ready(process: asyncio.subprocess.Process, folder: Path) -> RunningStack:
    async with asyncio.timeout(PATIENCE_S):
        while (stack := find_running(folder / "home")) is None:
            assert process.returncode is None, (folder / "up.log").read_text()[-2000:]
            await asyncio.sleep(0.2)
    return stack


def _note(found: Measurement, when: str, pid: int) -> None:
    memory: dict[str, float] = defaultdict(float)
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        try:
            memory[_name(process.cmdline())] += process.memory_full_info().pss / MB
        except psutil.Error:
            continue
    found.lines.append(Line(what=when, figure=sum(memory.values()), unit="MB", need=NEED))
    found.notes.append(
        f"{when}, MB: {', '.join(f'{name} {mb:.0f}' for name, mb in sorted(memory.items(), key=lambda one: -one[1]))}"
    )


def _name(command: list[str]) -> str:
    """Name a process by what it runs: `workers chat`, `postgres` with all its connections."""
    if "-m" in command:
        return " ".join(command[command.index("-m") + 1 :][:2])
    words = " ".join(command)
    return next((name for name in ("postgres", "valkey", "fork_server") if name in words), words[:20])

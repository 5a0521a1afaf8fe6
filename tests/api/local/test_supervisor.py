"""The supervisor, with real processes."""

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from api.local.errors import LocalError
from api.local.process_output import TerminalOutput
from api.local.processes import is_alive
from api.local.restarts import describe_exit
from api.local.supervisor import ProcfileEntry, Supervisor, read_procfile
from tests.waiting import PATIENCE_S, wait_for, wait_until

ROOT = Path(__file__).resolve().parents[3]
SLEEPER = "import signal; print('ready', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(15, signal.SIG_IGN); print('ready', flush=True)\nwhile True: signal.pause()"


class Lines:
    """Output that remembers."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []

    def write(self, name: str, line: str) -> None:
        self.all.append((name, line))

    def of(self, name: str) -> list[str]:
        return [line for who, line in self.all if who == name]


@asynccontextmanager
async def supervising(*programs: tuple[str, str]) -> AsyncIterator[tuple[Supervisor, Lines]]:
    lines = Lines()
    commands = [ProcfileEntry(name, (sys.executable, "-c", code)) for name, code in programs]
    supervisor = Supervisor(commands, env=dict(os.environ), cwd=ROOT, output=lines)
    await supervisor.start()
    try:
        yield supervisor, lines
    finally:
        await supervisor.stop(grace_s=0.2)


async def test_a_dead_process_is_restarted_and_its_exit_is_reported() -> None:
    async with supervising(("chat", SLEEPER), ("api", SLEEPER)) as (supervisor, lines):
        await wait_for(lambda: len(lines.all) == 2, "both are ready")
        first = supervisor.pids
        os.kill(first["chat"], signal.SIGKILL)
        await wait_for(lambda: len(lines.of("chat")) == 2, "the second one is ready")
        assert ["chat was killed by SIGKILL; restarting now."] == lines.of("headrace")
        assert first["chat"] != supervisor.pids["chat"]
        assert first["api"] == supervisor.pids["api"]


async def test_a_crash_loop_is_reported_with_the_last_output_of_the_process() -> None:
    async with supervising(("default", "raise SystemExit('no such queue')")) as (supervisor, lines):
        await wait_for(lambda: supervisor.crash_looping, "the crash loop is noticed")
        assert {"default": "no such queue"} == {
            name: said.splitlines()[-1] for name, said in supervisor.crash_looping.items()
        }
        said = "\n".join(lines.of("headrace"))
    assert "3 times in a row" in said
    assert "no such queue" in said


async def test_a_process_that_refuses_its_settings_is_not_restarted() -> None:
    code = "import sys; print('HEADRACE_LOGS must be people or json'); sys.exit(2)"
    async with supervising(("chat", code), ("api", SLEEPER)) as (supervisor, lines):
        await wait_for(lambda: lines.of("headrace"), "the exit is reported")
        await wait_for(lambda: lines.of("api"), "the other one is ready")
        assert {"chat": "HEADRACE_LOGS must be people or json"} == supervisor.refusing
        assert ["api"] == list(supervisor.pids)
    assert [
        "chat exited with status 2 and isn't restarted: its settings are wrong. Last output:",
        "    HEADRACE_LOGS must be people or json",
    ] == lines.of("headrace")


async def test_stop_ends_all_processes_cleanly() -> None:
    async with supervising(("a", SLEEPER), ("b", SLEEPER)) as (supervisor, lines):
        await wait_for(lambda: len(lines.all) == 2, "both are ready")
        pids = supervisor.pids.values()
        await supervisor.stop(grace_s=20)
        assert not any(map(is_alive, pids))
        assert [] == lines.of("headrace")


async def test_what_running_jobs_need_is_stopped_after_them() -> None:
    lines = Lines()
    ends = "import signal; signal.signal(15, lambda *_: None); print('ready', flush=True); signal.pause(); "
    commands = [
        ProcfileEntry("erp", (sys.executable, "-c", ends + "print('ends')"), serves_jobs=True),
        ProcfileEntry("chat", (sys.executable, "-c", ends + "import json, http.client; print('ends')")),
    ]
    supervisor = Supervisor(commands, env=dict(os.environ), cwd=ROOT, output=lines)
    await supervisor.start()
    await wait_for(lambda: len(lines.all) == 2, "both are ready")
    await supervisor.stop(grace_s=PATIENCE_S)
    assert [("chat", "ends"), ("erp", "ends")] == lines.all[2:]


async def test_a_process_that_ignores_sigterm_is_killed_after_the_grace() -> None:
    async with supervising(("a", STUBBORN)) as (supervisor, lines):
        await wait_for(lambda: lines.of("a"), "it is ready")
        pid = supervisor.pids["a"]
        await supervisor.stop(grace_s=0.1)
        assert not is_alive(pid)


async def test_hurry_cuts_the_grace_short() -> None:
    async with supervising(("a", STUBBORN)) as (supervisor, lines):
        await wait_for(lambda: lines.of("a"), "it is ready")
        stop_now = asyncio.Event()
        stop_now.set()
        async with asyncio.timeout(PATIENCE_S):
            await supervisor.stop(grace_s=3600, stop_now=stop_now)
        assert {} == supervisor.pids


PARENT = f"""
import signal, subprocess, sys
print(subprocess.Popen([sys.executable, '-c', {STUBBORN!r}]).pid, flush=True)
signal.pause()
"""


async def test_what_a_process_started_ends_with_it() -> None:
    async with supervising(("a", PARENT)) as (supervisor, lines):
        await wait_for(lambda: len(lines.of("a")) == 2, "both are ready")
        grandchild = next(int(line) for line in lines.of("a") if line.isdigit())
        os.kill(supervisor.pids["a"], signal.SIGKILL)
        await wait_for(lambda: not is_alive(grandchild), "the grandchild is gone")
        await wait_for(lambda: len(lines.of("a")) == 4, "both are there again")


async def test_a_very_long_line_comes_through_whole() -> None:
    code = "print('x' * 300_000, flush=True); import signal; signal.pause()"
    async with supervising(("a", code)) as (_, lines):
        await wait_for(lambda: lines.of("a"), "the line is there")
        assert ["x" * 300_000] == lines.of("a")


def test_kill_9_of_the_supervisor_leaves_nothing_behind() -> None:
    code = (
        "import asyncio, os, pathlib, sys\n"
        "from api.local.supervisor import ProcfileEntry, Supervisor\n"
        "class Quiet:\n"
        "    def write(self, name, line): pass\n"
        "async def main():\n"
        f"    line = ProcfileEntry('a', (sys.executable, '-c', {SLEEPER!r}))\n"
        "    supervisor = Supervisor([line], env=dict(os.environ), cwd=pathlib.Path('/'), output=Quiet())\n"
        "    await supervisor.start()\n"
        "    print(supervisor.pids['a'], flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT) as supervisor:
        assert supervisor.stdout
        child = int(supervisor.stdout.readline())
        assert is_alive(child)
        supervisor.kill()
    wait_until(lambda: not is_alive(child), "the child is gone")


def test_the_projects_procfile_has_the_processes_of_the_stack() -> None:
    lines = read_procfile(ROOT / "Procfile")
    assert ["api", "chat", "default", "ingestion", "scheduler", "flower"] == [line.name for line in lines]
    assert {sys.executable} == {line.command[0] for line in lines}


def test_a_wrong_line_of_a_procfile_is_named(tmp_path: Path) -> None:
    file = tmp_path / "Procfile"
    file.write_text("# comment\n\napi: python -m api serve\nchat python\n")
    with pytest.raises(LocalError, match="line 4"):
        read_procfile(file)


def test_exits_are_described_in_words() -> None:
    assert "exited with status 3" == describe_exit(3)
    assert "was killed by SIGTERM" == describe_exit(-signal.SIGTERM)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_on_a_terminal_carry_their_process_in_colour() -> None:
    terminal = Terminal()
    TerminalOutput(["api", "chat"], stream=terminal, environ={}).write("chat", "hello")
    assert "\033[33mchat     │\033[0m hello\n" == terminal.getvalue()


@pytest.mark.parametrize(("stream", "environ"), [(io.StringIO, {}), (Terminal, {"NO_COLOR": "1"})])
def test_there_is_no_colour_in_files_or_when_it_is_not_wanted(
    stream: type[io.StringIO], environ: dict[str, str]
) -> None:
    out = stream()
    TerminalOutput(["api", "chat"], stream=out, environ=environ).write("chat", "hello")
    assert "chat     │ hello\n" == out.getvalue()

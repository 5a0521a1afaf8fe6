"""A forked process is what `python -m` would have started: its arguments, environment, output and status are its own."""

import signal
from pathlib import Path

from tests.fork_server import ForkedProcess, base_environment
from tests.system import System
from tests.waiting import PATIENCE_S


def fork(log: Path, *command: str, **environment: str) -> ForkedProcess:
    assert System.fork_servers is not None
    with log.open("ab") as opened:
        return System.fork_servers.start(command, base_environment() | environment, opened)


def test_forked_processes_have_arguments_environment_and_output_of_their_own(tmp_path: Path) -> None:
    first = fork(tmp_path / "first", "workers", "nobody")
    second = fork(tmp_path / "second", "workers", "chat", HEADRACE_LEASE_S="soon")
    third = fork(tmp_path / "third", "workers", "chat", HEADRACE_GRACE_S="later")

    assert [2, 2, 2] == [process.wait(PATIENCE_S) for process in (first, second, third)]
    first_log, second_log, third_log = ((tmp_path / name).read_text() for name in ("first", "second", "third"))
    assert first_log.startswith("usage: python -m workers")
    assert "HEADRACE_LEASE_S" in second_log
    assert "HEADRACE_LEASE_S" not in third_log
    assert "HEADRACE_GRACE_S" in third_log


async def test_signals_reach_forked_processes_and_their_ends_are_told(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with System(database_url, redis_url, folder=tmp_path, roles=("scheduler",)) as system:
        stopped = system.processes["scheduler"]
        assert stopped.poll() is None
        assert 0 == await system.stop("scheduler")

        killed = system.start("scheduler")
        system.kill("scheduler")
        assert (0, -signal.SIGKILL) == (stopped.poll(), killed.poll())

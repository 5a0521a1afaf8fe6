"""A pytest plugin that tells the number of tests, names a failure when it happens, hands out the slow test files first, and
says at the end which files took longest."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

SLOW_FIRST = (
    *("tests/journeys", "tests/chaos/test_quick", "tests/api/test_schema_holds", "tests/isolation", "tests/api"),
    "tests/workers",
)
"""Folders and files that take long. The journeys go before all others: a process has its running system only while it runs
them."""

SHARE_FRAGILE = "tests/journeys/faults: what breaks stores"
FRAGILE = ("test_postgres_outage.py", "test_redis_outage.py", "test_webhooks.py")
"""Files of that folder that share a system over stores of its own. They go to one process, or each would start another."""

NAMED = 10
"""How many of the slowest files a whole run names at its end."""

WHOLE_RUN_FILES = 100
"""Of a run of fewer files, whoever started it knows which it was."""


class Reporting:
    """Registered by `tests/conftest.py` in the process that a person looks at."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._failed = 0
        self._collected = False
        self._seconds: dict[str, float] = defaultdict(float)

    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        """Each process collects all tests; the first to be ready tells their number."""
        terminal: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None and not self._collected:
            terminal.write_line(f"{len(ids):,} tests")
        self._collected = True

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid.split("::")[0]] += report.duration
        terminal: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        if not report.failed or terminal is None:
            return
        self._failed += 1
        crash = getattr(report.longrepr, "reprcrash", None)
        reason = f" - {crash.message.splitlines()[0][:200]}" if crash and crash.message else ""
        where = "" if report.when == "call" else f" (at its {report.when})"
        terminal.write("\n")
        terminal.write_line(f"FAILED {report.nodeid}{where}{reason}", red=True)

    def pytest_terminal_summary(self, terminalreporter: Any, exitstatus: int) -> None:
        """The last lines but one; pytest's own closes the run."""
        if len(self._seconds) >= WHOLE_RUN_FILES:
            for line in slowest(self._seconds):
                terminalreporter.write_line(line)
        if self._failed:
            terminalreporter.write_line("Run only what failed: ./headrace test --lf", red=True)
        elif exitstatus == pytest.ExitCode.OK:
            terminalreporter.write_line("Every test passed.", green=True)

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> LoadFileScheduling | None:
        return BySlowness(config, log) if config.getoption("dist") == "loadfile" else None


class BySlowness(LoadFileScheduling):
    """A file stays in one process. The slow ones go first, so that no process works on alone at the end."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(super()._split_scope(nodeid))

    def schedule(self) -> None:
        if self.collection is None:
            self.config.option.loadscopereorder = False  # by the number of tests, which says little about time
        super().schedule()


def slowest(seconds: Mapping[str, float]) -> list[str]:
    """Say which files took longest, and all of them together; a process waits for most of that time."""
    paths = sorted(seconds, key=lambda path: -seconds[path])[:NAMED]
    total = f"The slowest of {len(seconds)} files, which took {sum(seconds.values()):,.0f} s together:"
    return [total, *(f"{seconds[path]:6.1f} s  {path}" for path in paths)]


def scope(path: str) -> str:
    """Whatever has the same scope runs in the same process."""
    folder, _, name = path.rpartition("/")
    return SHARE_FRAGILE if name in FRAGILE and folder == "tests/journeys/faults" else path


def slowness(path: str) -> int:
    """Where a test file stands in the order: the slower, the smaller."""
    return next((place for place, start in enumerate(SLOW_FIRST) if path.startswith(start)), len(SLOW_FIRST))


def slow_first(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The tests with the slow folders before the others, otherwise in their order."""
    return sorted(items, key=lambda item: slowness(item.nodeid))

"""A pytest plugin that tells the number of tests, names a failure when it happens, and hands out the slow test files first."""

from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

JOURNEYS = "tests/journeys"
ON_THEIR_OWN = tuple(
    f"{JOURNEYS}/{path}"
    for path in (
        *("local/", "secrets/test_canaries", "clients/test_hostile_connections"),
        *("faults/test_postgres_outage", "faults/test_redis_outage"),
    )
)
"""Journeys that don't use the shared system."""

SLOW_FIRST = (JOURNEYS, "tests/chaos", "tests/isolation", "tests/api/test_schema_holds", "tests/api", "tests/workers")


class Reporting:
    """Registered by `tests/conftest.py` in the process that a person looks at."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._failed = 0
        self._collected = False

    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        """Each process collects all tests; the first to be ready tells their number."""
        terminal: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None and not self._collected:
            terminal.write_line(f"{len(ids):,} tests")
        self._collected = True

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
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
        """The last line but one; pytest's own closes the run."""
        if self._failed:
            terminalreporter.write_line("Run only what failed: ./headrace test --lf", red=True)
        elif exitstatus == pytest.ExitCode.OK:
            terminalreporter.write_line("Every test passed.", green=True)

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> LoadFileScheduling | None:
        return BySlowness(config, log) if config.getoption("dist") == "loadfile" else None


class BySlowness(LoadFileScheduling):
    """A file stays in one process, and all journeys of the shared running system do. The slow ones go first, so that no process
    works on alone at the end."""

    def _split_scope(self, nodeid: str) -> str:
        shares = nodeid.startswith(JOURNEYS) and not nodeid.startswith(ON_THEIR_OWN)
        return JOURNEYS if shares else super()._split_scope(nodeid)

    def schedule(self) -> None:
        if self.collection is None:
            self.config.option.loadscopereorder = False  # by the number of tests, which says little about time
        super().schedule()


def slowness(path: str) -> int:
    """Where a test file stands in the order: the slower, the smaller."""
    return next((place for place, start in enumerate(SLOW_FIRST) if path.startswith(start)), len(SLOW_FIRST))


def slow_first(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The tests with the slow folders before the others, otherwise in their order."""
    return sorted(items, key=lambda item: slowness(item.nodeid))

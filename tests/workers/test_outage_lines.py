"""Logs while a store is unavailable: the first line, one every half minute, and what was left out when it is back."""

from typing import Any

import pytest
import structlog

from tests.house.test_layout import sources
from workers.outage_lines import BACK_EVENTS, EVERY_S, OUTAGE_EVENTS, OutageLines


class Log:
    """What is logged by a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[dict[str, Any]] = []
        self._process = OutageLines(lambda: self.now)

    def write(self, event: str, **fields: Any) -> None:
        try:
            self.lines.append(dict(self._process(None, "warning", {"event": event, **fields})))
        except structlog.DropEvent:
            return


def test_of_lines_that_repeat_the_first_and_one_each_half_minute_are_logged() -> None:
    log = Log()
    for second in range(0, 100, 5):
        log.now = float(second)
        log.write("maintenance_postponed", what="sweep")
        log.write("maintenance_postponed", what="dispatch")
    sweeps = [line for line in log.lines if line["what"] == "sweep"]
    assert 2 * len(sweeps) == len(log.lines)
    assert [None, 5, 5, 5] == [line.get("more") for line in sweeps]


def test_what_was_left_out_is_told_when_the_store_is_back() -> None:
    log = Log()
    for _ in range(4):
        log.write("dispatch_postponed", queue="chat")
    log.write("postgres_back", after_s=3.0)
    assert {"event": "postgres_back", "after_s": 3.0, "left_out": {"dispatch_postponed chat": 3}} == log.lines[-1]
    log.write("dispatch_postponed", queue="chat")
    assert {"event": "dispatch_postponed", "queue": "chat"} == log.lines[-1]


def test_other_lines_are_never_left_out() -> None:
    log = Log()
    for _ in range(50):
        log.write("job_ended", state="succeeded")
    assert 50 == len(log.lines)
    assert EVERY_S > log.now


@pytest.mark.parametrize("name", sorted(OUTAGE_EVENTS | BACK_EVENTS))
def test_every_event_that_is_named_is_logged_somewhere(name: str) -> None:
    files = [path for path in sources("api", "workers", "graphs", "schema") if path.name != "outage_lines.py"]
    assert any(f'"{name}"' in path.read_text() for path in files)

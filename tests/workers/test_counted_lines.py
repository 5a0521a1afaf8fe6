"""Lines that strangers can cause don't fill the log, and none is left out of the count."""

import logging

from structlog.testing import capture_logs

from workers.celery.flower import STARTING_S, UnansweredFilter
from workers.counted_lines import EVERY_S, CountedLines


def test_a_thousand_refusals_are_two_lines() -> None:
    now = 0.0
    lines = CountedLines("connection_refused", by="code", clock=lambda: now)
    with capture_logs() as logged:
        for _ in range(1000):
            lines.count("malformed_request", address="203.0.113.9")
        lines.count("request_timeout")
        lines.flush()
        now = EVERY_S
        lines.flush()
        lines.flush()
    told = [(line["code"], line.get("more")) for line in logged]
    assert [("malformed_request", None), ("request_timeout", None), ("malformed_request", 999)] == told


def test_a_minute_later_the_next_one_is_a_line_again() -> None:
    now = 0.0
    lines = CountedLines("connection_refused", by="code", clock=lambda: now)
    with capture_logs() as logged:
        lines.count("a")
        lines.count("a")
        now = EVERY_S
        lines.count("a")
        lines.flush()
    assert [None, 1] == [line.get("more") for line in logged]


def test_flower_says_once_that_no_worker_answers_and_not_while_they_start() -> None:
    now = 0.0
    silence = UnansweredFilter(clock=lambda: now)
    unanswered = logging.makeLogRecord({"msg": "Inspect method %s failed", "args": ("stats",)})
    with capture_logs() as logged:
        assert [False] * 4 == [silence.filter(unanswered) for _ in range(4)]
        assert [] == logged
        now = STARTING_S + 1
        assert [False] * 4 == [silence.filter(unanswered) for _ in range(4)]
    assert ["workers_not_answering"] == [line["event"] for line in logged]
    assert silence.filter(logging.makeLogRecord({"msg": "Bad Redis address"}))

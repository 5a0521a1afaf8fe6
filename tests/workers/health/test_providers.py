"""What the calls of several processes say together of a vendor."""

import pytest

from graphs.providers.calls.log import CallLog, RecentCalls
from workers.health.checks import NoData, PartDown
from workers.health.providers import judge, sum_up


def calls_of(now: list[float], *calls: tuple[float, bool]) -> RecentCalls:
    """The calls of a process as it reports them now: the time of each, and whether it succeeded."""
    log, at = CallLog(lambda: now[0]), now[0]
    for now[0], ok in calls:
        if ok:
            log.note("v", None)
        else:
            log.note_failure("v", "provider_overloaded")
    now[0] = at
    return log.recent()["v"]


def test_calls_that_failed_after_the_last_success_of_any_process_are_in_a_row() -> None:
    now = [100.0]
    well = calls_of(now, (70.0, True), (80.0, True))
    ill = calls_of(now, (85.0, False), (90.0, False), (95.0, False))
    with pytest.raises(PartDown, match="The last 3 calls failed"):
        judge(sum_up([well, ill]))
    better = calls_of(now, (97.0, True))
    assert "3 of 6 calls in a minute failed (provider_overloaded)." == judge(sum_up([well, ill, better])).trouble
    with pytest.raises(NoData):
        judge(sum_up([well, calls_of(now, (99.0, False))]))

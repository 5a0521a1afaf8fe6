"""Log lines that others can cause as often as they like: the first of a kind at once, then one a minute with their number."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import structlog

log = structlog.get_logger()

EVERY_S = 60.0


class CountedLines:
    """Lines of one event, told apart by the field `by`. Kinds must be few: those of our own code, nothing that was sent."""

    def __init__(self, event: str, *, by: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._event, self._by, self._clock = event, by, clock
        self._logged_at: dict[str, float] = {}
        self._kept: Counter[str] = Counter()

    def count(self, kind: str, **fields: Any) -> None:
        """Log a line, or count it if one of its kind was logged within the last minute."""
        now = self._clock()
        if kind in self._logged_at and now - self._logged_at[kind] < EVERY_S:
            self._kept[kind] += 1
            return
        self._logged_at[kind] = now
        if more := self._kept.pop(kind, 0):
            fields["more"] = more
        log.info(self._event, **{self._by: kind}, **fields)

    def flush(self) -> None:
        """Log how many were counted of each kind whose minute is over; called now and then."""
        if not self._kept:
            return
        now = self._clock()
        for kind, number in list(self._kept.items()):
            if now - self._logged_at[kind] >= EVERY_S:
                del self._kept[kind]
                self._logged_at[kind] = now
                log.info(self._event, **{self._by: kind}, more=number)

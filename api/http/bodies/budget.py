"""How much of half-read bodies a process holds: nobody can fill its memory with bodies that never end.

    chunk ──► add ──► more than a holder's share or the whole budget? ──► the slowest is cut (408), else the newcomer
                                                                          is refused: 429 for its share, 503
    every second ──► slower than MIN_BYTES_PER_S in the last WINDOW_S? ──► 408

A holder is a tenant or, where nobody has signed in, an address. Only bodies that are read into memory are counted, and only
until they are complete. Not here: files, which are written to disk as they come; how large one body may be (`limits.py`);
bodies of which almost nothing comes (`connections.py`).
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager

from litestar.exceptions import HTTPException

from schema.errors import LimitReached, Unavailable
from workers.counted_lines import CountedLines

MIN_BYTES_PER_S = 8 * 1024
"""What a body of more than SMALL_BYTES must bring on average, in each WINDOW_S: less than any line on which people wait."""
WINDOW_S = 10.0
SMALL_BYTES = 64 * 1024
"""Bodies up to this size may be slower: there, uvicorn's own buffer for a connection is as large."""
NEW_S = 2.0
"""A body that has been coming for less is not called slow when the budget is full."""
LATE_S = 3.0
"""A check that comes so late says that this process was busy, and nothing about the clients."""
RETRY_AFTER_S = 2.0
BODIES = 16
"""How many bodies of the greatest size the budget holds, and half as many of one holder."""

TOO_SLOW = (
    "The body came too slowly: over 64 KB, it must bring 8 KB a second. Send less at once, or from a faster line."
)
CUT = "Many large bodies came at once, and this one was the slowest. Nothing was accepted; try again shortly."
SHARE_FULL = "Too many large bodies of yours are on their way at once. Send fewer at a time."
ALL_FULL = "Too many large bodies are on their way to this server at once."


class Reading:
    """A body that is being read by the task that made this. `add` counts a chunk."""

    def __init__(self, budget: "BodyBudget", holder: Hashable, now: float) -> None:
        self.holder, self.size, self.cut_for = holder, 0, ""
        self.began_at = self.window_at = now
        self.window_bytes = 0
        self._budget = budget
        self.task = asyncio.current_task()

    def add(self, size: int) -> None:
        """Count bytes that have come. Raises LimitReached or Unavailable if there is no room for them."""
        self.size += size
        self.window_bytes += size
        self._budget.take(self, size)

    def cut(self, why: str) -> None:
        """End the reading with 408."""
        if not self.cut_for and self.task is not None:
            self.cut_for = why
            self.task.cancel()

    def bytes_per_s(self, now: float) -> float:
        """Return how fast it came until now."""
        return self.size / max(now - self.began_at, 0.001)


class BodyBudget:
    """The bodies that a process is reading, at most `most` bytes of them, of one holder `share`."""

    def __init__(
        self, most: int, share: int, clock: Callable[[], float] = time.monotonic, *, window_s: float = WINDOW_S
    ) -> None:
        self._most, self._share, self._clock, self._window_s = most, share, clock, window_s
        self._open: set[Reading] = set()
        self._held: Counter[Hashable] = Counter()
        self._total = 0
        self._checked_at = clock()
        self._lines = CountedLines("slow_body_cut", by="why")

    @property
    def held_bytes(self) -> int:
        """What is in memory of bodies that are not complete."""
        return self._total

    @contextmanager
    def reading(self, holder: Hashable) -> Generator[Reading]:
        """Count a body of `holder` within. Raises HTTPException (408) if it is cut."""
        one = Reading(self, holder, self._clock())
        self._open.add(one)
        try:
            yield one
        except asyncio.CancelledError:
            if not one.cut_for or one.task is None or one.task.uncancel():
                raise
            raise HTTPException(status_code=408, detail=one.cut_for, headers={"Connection": "close"}) from None
        finally:
            self._release(one)

    def take(self, one: Reading, size: int) -> None:
        """Hold `size` bytes more of a body; at another's cost if that is slower."""
        self._total += size
        self._held[one.holder] += size
        while self._held[one.holder] > self._share:
            if not self._cut_slowest(one, [other for other in self._open if other.holder == one.holder]):
                raise LimitReached(SHARE_FULL, code="rate_limit_exceeded", retry_after_s=RETRY_AFTER_S)
        while self._total > self._most:
            if not self._cut_slowest(one, list(self._open)):
                raise Unavailable(ALL_FULL, effect="nothing")

    def check(self) -> None:
        """Cut what is too slow; called every second."""
        self._lines.flush()
        now = self._clock()
        was_late, self._checked_at = now - self._checked_at > LATE_S, now
        for one in list(self._open):
            elapsed = now - one.window_at
            if was_late or elapsed >= self._window_s:
                if not was_late and one.size > SMALL_BYTES and one.window_bytes < MIN_BYTES_PER_S * elapsed:
                    self._cut(one, TOO_SLOW)
                one.window_at, one.window_bytes = now, 0

    def _cut_slowest(self, newcomer: Reading, among: list[Reading]) -> bool:
        """Cut the slowest of those that have had time to show it; False if that is the newcomer, or nobody is."""
        now = self._clock()
        old = [one for one in among if one is newcomer or now - one.began_at > NEW_S]
        slowest = min(old, key=lambda one: one.bytes_per_s(now))
        if slowest is newcomer:
            return False
        self._cut(slowest, CUT)
        return True

    def _cut(self, one: Reading, why: str) -> None:
        self._lines.count("too slow" if why is TOO_SLOW else "no room", received_bytes=one.size, held_bytes=self._total)
        self._release(one)
        one.cut(why)

    def _release(self, one: Reading) -> None:
        if one not in self._open:
            return
        self._open.discard(one)
        self._total -= one.size
        self._held[one.holder] -= one.size
        if not self._held[one.holder]:
            del self._held[one.holder]


def budget_for(max_body: int, body_timeout_s: float) -> BodyBudget:
    """Return the budget of a process that takes bodies of `max_body` bytes."""
    return BodyBudget(BODIES * max_body, BODIES // 2 * max_body, window_s=min(WINDOW_S, body_timeout_s))

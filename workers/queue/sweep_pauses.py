"""Whether the time between two answers of Postgres to the sweeper is longer than the sweeper meant.

A frozen Postgres answers when it goes on, without an error; so does a machine that slept, whose own clock stood still. Leases
have expired meanwhile that live workers could not renew. Time is that of Postgres, which leases are judged by.

Not here: what follows from a pause (`workers/scheduler.py`).
"""


class SweepPauses:
    """Finds pauses longer than `longest_s` between the times that it is told."""

    def __init__(self, *, longest_s: float) -> None:
        self._longest_s = longest_s
        self._last_s: float | None = None

    def note(self, now_s: float) -> float:
        """Return the seconds since the time before, if they are too many; else 0."""
        last_s, self._last_s = self._last_s, now_s
        pause_s = 0.0 if last_s is None else now_s - last_s
        return pause_s if pause_s > self._longest_s else 0.0

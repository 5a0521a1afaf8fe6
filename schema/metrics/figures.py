"""Counts that Postgres keeps by minute and hour (`schema/queries/tenants/performance.py`): how long routes took, how many calls
of tools succeeded, how many questions the cache of answers knew. Each process counts in memory, and writes every few seconds
(`workers/figures.py`)."""

import math
import threading
from collections import Counter

from schema.vault import PLATFORM

WIDTH = 1.1
"""Times are counted in buckets, each so much wider than the one before: a percentile is right to five percent."""
MIN_S = 0.0001
MOST = 20_000
"""Different counts that wait to be written; more are dropped, as when Postgres is away for long."""
ROUTE = "route "

Figure = tuple[str, str, str, int]
"""The tenant's id, of what kind, its measure, and the bucket of a time or 0."""


class Figures:
    """What was counted since it was last written. May be used from all threads."""

    def __init__(self) -> None:
        self._counts = Counter[Figure]()
        self._lock = threading.Lock()

    def note_route(self, method: str, route: str, seconds: float, *, failed: bool) -> None:
        """Count a response of the installation."""
        kind = f"{ROUTE}{method} {route}"
        self.add({(str(PLATFORM), kind, "time", bucket_of(seconds)): 1})
        if failed:
            self.add({(str(PLATFORM), kind, "failed", 0): 1})

    def note_tool(self, tenant_id: str, *, ok: bool) -> None:
        """Count a call of a tool."""
        self.add({(tenant_id, "tools", "succeeded" if ok else "failed", 0): 1})

    def note_lookup(self, tenant_id: str, *, hit: bool) -> None:
        """Count a question that was looked up in the cache of answers."""
        self.add({(tenant_id, "cache", "hit" if hit else "miss", 0): 1})

    def add(self, counts: dict[Figure, int]) -> None:
        """Add counts, also those that could not be written."""
        with self._lock:
            for figure, n in counts.items():
                if figure in self._counts or len(self._counts) < MOST:
                    self._counts[figure] += n

    def take(self) -> dict[Figure, int]:
        """Return all, and begin anew."""
        with self._lock:
            taken, self._counts = self._counts, Counter[Figure]()
        return taken


def bucket_of(seconds: float) -> int:
    """Return the bucket of a time, as the SQL of samples does."""
    return math.ceil(math.log(max(seconds, MIN_S)) / math.log(WIDTH))


FIGURES = Figures()
"""Those of this process, like its metrics."""

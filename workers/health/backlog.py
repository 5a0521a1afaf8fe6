"""Measures what waits in Postgres: jobs by state, the oldest one, dead letters. One query for all who scrape, at most
one twentieth of the time."""

import itertools
import math
import time
from collections.abc import Callable
from typing import cast

from schema.errors import HeadraceError
from schema.job_kinds import KINDS
from schema.metrics.catalog import JOBS_IN_STATE, OLDEST_WAITING, POSTGRES_UP
from schema.postgres.connections import Pool, system_tx
from schema.queries.jobs.backlog import Backlog, read_backlog

STATES = ("queued", "dispatched", "running", "dead")
REST = 20.0
"""How many times the duration of a query passes before the next one."""


class BacklogFigures:
    """Sets the gauges. `clock` is monotonic."""

    def __init__(self, system_pool: Pool, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool, self._clock = system_pool, clock
        self._next_at = -math.inf
        self.latest: Backlog | None = None
        """What was measured last."""

    async def measure(self) -> None:
        """Ask Postgres, if it is time to. Raises Unavailable while it is away: then the figures are missing, not old."""
        began = self._clock()
        if began < self._next_at:
            return
        try:
            async with system_tx(self._pool) as db:
                backlog = await read_backlog(db)
        except HeadraceError:
            POSTGRES_UP.of().set(0)
            self._set(lambda *_: math.nan, lambda _: math.nan)
            raise
        ended = self._clock()
        self._next_at = ended + REST * (ended - began)
        POSTGRES_UP.of().set(1)
        self._show(backlog)

    def _show(self, backlog: Backlog) -> None:
        self.latest = backlog
        counts = cast(dict[tuple[str, str], int], backlog.counts)
        self._set(lambda kind, state: counts.get((kind, state), 0), lambda kind: backlog.oldest_s.get(kind, 0.0))

    def _set(self, count: Callable[[str, str], float], oldest_s: Callable[[str], float]) -> None:
        for kind, state in itertools.product(KINDS, STATES):
            JOBS_IN_STATE.of(kind, state).set(count(kind, state))
        for kind in KINDS:
            OLDEST_WAITING.of(kind).set(oldest_s(kind))

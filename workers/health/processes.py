"""Checks of the processes, by what they report of themselves: is a worker dead or deaf, is an event loop blocked, are clocks
apart. And of the queues that they serve."""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping

from schema.job_kinds import KINDS, QUEUES
from schema.postgres.connections import Pool, system_tx
from schema.queries.health.figures import Unanswered, list_unanswered, read_postgres_figures
from schema.redis_names import CONTROL
from workers.health.backlog import BacklogFigures
from workers.health.checks import Finding, NoData, NoWorkers, PartDown
from workers.health.reports import SILENT_S, ProcessReport, forget_processes, living, read_reports
from workers.health.settings import HealthSettings
from workers.queue.leases import has_died
from workers.redis.client import RedisClient

DEAF_S = 8.0
FORGET_S = 60.0
"""How long a process that is silent is missed, if others serve its queue."""
SKEW_S = 2.0
"""By how much clocks may differ: deadlines of requests for vectors are in the time of the one who asks."""
GROWTH_S = 60.0
STARTING_S = 30.0


class ProcessChecks:
    """Checks of processes. `after_s` is when a doorbell that nobody answers is rung again; `starting_s` is how long workers may
    take to start beside the scheduler, until the first is missed."""

    def __init__(
        self,
        redis: RedisClient,
        system_pool: Pool,
        settings: HealthSettings,
        *,
        after_s: float,
        starting_s: float = STARTING_S,
    ) -> None:
        self._redis, self._pool, self._settings, self._after_s = redis, system_pool, settings, after_s
        self._missed_at = time.monotonic() + starting_s
        self._served_at: dict[str, float] = {}

    async def find_workers(self) -> Finding:
        """Raises PartDown if there are no workers, or a queue with work has none."""
        now, reports = await read_reports(self._redis)
        alive = [report for report in living(now, reports) if report.queue is not None]
        silent = await self._missed(now, reports)
        async with system_tx(self._pool) as db:
            unanswered = await list_unanswered(db, after_s=self._after_s)
        _, listening = await self._redis.call("PUBSUB", "NUMSUB", CONTROL)
        detail = _count(alive) | {"processes": len(alive), "silent": len(silent)}
        if not alive and not silent and time.monotonic() < self._missed_at:
            raise NoData(detail)
        if not alive:
            raise NoWorkers(lasted_s=_longest(silent.values()), detail=detail)
        self._served_at |= {report.queue.queue: now for report in alive if report.queue}
        unseen_s = time.monotonic() - self._missed_at
        since_s = {queue: now - self._served_at[queue] if queue in self._served_at else unseen_s for queue in QUEUES}
        if dead := _unserved(since_s, silent, unanswered):
            queue, lasted_s = dead
            raise PartDown(f"No worker serves the queue {queue}.", lasted_s=lasted_s, detail=detail)
        if deaf := _deaf(alive, unanswered):
            names = ", ".join(role for role, _ in deaf)
            lasted_s = _longest(silent_s for _, silent_s in deaf)
            return Finding(detail | {"deaf": len(deaf)}, f"A worker hears no doorbells ({names}).", lasted_s)
        if silent:
            roles = ", ".join(sorted({reports[name].role for name in silent}))
            return Finding(detail, f"A worker has said nothing for seconds ({roles}).", _longest(silent.values()))
        if listening < len(alive):
            return Finding(detail, f"{len(alive) - listening} of the workers hear no commands, such as to cancel.")
        return Finding(detail)

    async def _missed(self, now: float, reports: Mapping[str, ProcessReport]) -> dict[str, float]:
        """Return workers that have said nothing for a while, with how long. One whose queue others serve is forgotten: at once
        if it is seen to be dead, else after a minute; so are other silent processes."""
        serving = Counter(report.queue.queue for report in living(now, reports) if report.queue)
        missed, gone = dict[str, float](), list[str]()
        for name, report in reports.items():
            silent_s = now - report.at
            if silent_s < SILENT_S:
                continue
            replaced = report.queue is None or serving[report.queue.queue] > 0
            if replaced and (silent_s > FORGET_S or has_died(report.owner)):
                gone.append(name)
            elif report.queue is not None:
                missed[name] = silent_s
        await forget_processes(self._redis, gone)
        return missed

    async def find_loops(self) -> Finding:
        """Degraded if an event loop is late."""
        now, reports = await read_reports(self._redis)
        lags = defaultdict[str, float](float)
        for report in living(now, reports):
            lags[report.role] = max(lags[report.role], report.lag_s)
        detail = {f"{role}_lag_ms": round(1000 * lag_s, 1) for role, lag_s in sorted(lags.items())}
        late = [role for role, lag_s in lags.items() if lag_s > self._settings.lag_s]
        trouble = (
            f"An event loop is late by more than {self._settings.lag_s:g} s ({', '.join(sorted(late))})."
            if late
            else None
        )
        return Finding(detail, trouble)

    async def find_clocks(self) -> Finding:
        """Degraded if clocks differ: those of processes from Redis', and this one's from Postgres'."""
        began = time.time()
        async with system_tx(self._pool) as db:
            figures = await read_postgres_figures(db)
        between = (began + time.time()) / 2
        now, reports = await read_reports(self._redis)
        apart = {"postgres": between - figures.now_s}
        for report in living(now, reports):
            if abs(report.ahead_s) >= abs(apart.get(report.role, 0.0)):
                apart[report.role] = report.ahead_s
        detail = {f"{name}_ahead_ms": round(1000 * ahead_s, 1) for name, ahead_s in sorted(apart.items())}
        worst = max(apart, key=lambda name: abs(apart[name]))
        if abs(apart[worst]) <= SKEW_S:
            return Finding(detail)
        other = "this machine's and Postgres'" if worst == "postgres" else f"that of {worst} and Redis'"
        return Finding(detail, f"Clocks differ by {abs(apart[worst]):.0f} s: {other}.")


class QueueCheck:
    """Checks how long jobs wait for workers, and whether more come than go."""

    def __init__(self, figures: BacklogFigures, system_pool: Pool, settings: HealthSettings, *, after_s: float) -> None:
        self._figures, self._pool, self._settings, self._after_s = figures, system_pool, settings, after_s
        self._seen: deque[tuple[float, Counter[str]]] = deque()

    async def find(self) -> Finding:
        """Degraded if jobs have waited for a worker for too long. One that waits for its tenant's cap is no sign of that."""
        async with system_tx(self._pool) as db:
            unanswered = await list_unanswered(db, after_s=self._after_s)
        waiting, oldest_s = self._waiting()
        detail: dict[str, float] = {}
        for kind in KINDS:
            detail[f"{kind}_waiting"] = waiting[kind]
            detail[f"{kind}_oldest_s"] = round(oldest_s.get(kind, 0.0), 1)
            detail[f"{kind}_growth_per_minute"] = self._growth(kind, waiting)
        late = [one for one in unanswered if one.longest_s > self._settings.wait_s]
        if not late:
            return Finding(detail)
        worst = max(late, key=lambda one: one.longest_s)
        return Finding(detail, f"{worst.kind} jobs have waited for a worker for {worst.longest_s:.0f} s.")

    def _waiting(self) -> tuple[Counter[str], dict[str, float]]:
        waiting = Counter[str]()
        latest = self._figures.latest
        if latest is not None:
            for (kind, state), jobs in latest.counts.items():
                waiting[kind] += jobs if state in ("queued", "dispatched") else 0
        now = time.monotonic()
        self._seen.append((now, waiting))
        while len(self._seen) > 1 and now - self._seen[1][0] >= GROWTH_S:
            self._seen.popleft()
        return waiting, latest.oldest_s if latest else {}

    def _growth(self, kind: str, waiting: Counter[str]) -> float:
        then, before = self._seen[0]
        passed_s = self._seen[-1][0] - then
        return round(60 * (waiting[kind] - before[kind]) / passed_s, 1) if passed_s else 0.0


def _count(alive: list[ProcessReport]) -> dict[str, float]:
    """Return the processes, and the jobs that run, by queue."""
    counts = dict[str, float]()
    for queue in QUEUES:
        own = [report.queue for report in alive if report.queue and report.queue.queue == queue]
        counts |= {queue: len(own), f"{queue}_running": sum(one.running for one in own)}
    return counts


def _unserved(
    since_s: Mapping[str, float], silent: Mapping[str, float], unanswered: list[Unanswered]
) -> tuple[str, float] | None:
    """Return a queue without a worker for which there is work, or whose last worker went without a word; and for how long.
    `since_s`: how long a queue has not been served, 0 if it is, and below 0 while its workers may be starting."""
    lasted_s = {
        one.queue: min(one.longest_s - DEAF_S, since_s[one.queue])
        for one in unanswered
        if one.longest_s >= DEAF_S and since_s[one.queue] > 0
    }
    for name, silent_s in silent.items():
        queue = name.partition("@")[0]
        lasted_s[queue] = max(silent_s, lasted_s.get(queue, 0.0))
    missing = [(queue, lasted) for queue, lasted in lasted_s.items() if since_s[queue]]
    return max(missing, key=lambda found: found[1], default=None)


def _deaf(alive: list[ProcessReport], unanswered: list[Unanswered]) -> list[tuple[str, float]]:
    """Return the roles of workers with free slots that take nothing although their queue's doorbells were rung seconds ago, and
    for how long each has."""
    rung_s = {one.queue: one.longest_s for one in unanswered}
    free = [(report.role, own) for report in alive if (own := report.queue) is not None and own.running < own.slots]
    unheard = [(role, min(own.silent_s, rung_s.get(own.queue, 0.0))) for role, own in free]
    return [(role, silent_s) for role, silent_s in unheard if silent_s >= DEAF_S]


def _longest(durations: Iterable[float]) -> float:
    return max(durations, default=0.0)

"""The watchdog: checks all parts of the installation, reports what changes, and heals what it can.

    every 3 s: check all parts ─► heal ─► what has lasted for 8 s is a change: row, log line, webhooks ─► figures, history

A part is down or degraded when no check of DAMPING_S found it better, and up again when each found it so; after each outage of
the last minutes it takes twice as long, so that one which comes and goes is told once. One scheduler watches, the others wait
for its lease to end; what was reported last is a row, changed together with the deliveries. Postgres holds these rows, so its
own outage has its log line in time, and the rest when it is over.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog

from schema.errors import HeadraceError
from schema.metrics.catalog import SERVICE_UP
from schema.postgres.connections import Db, Pool, system_tx
from schema.queries.health import service_parts as queries
from schema.queries.health.service_parts import PartChecks, PartFound, PartStatus, WatchedPart
from workers.health.checks import CHECK_TIMEOUT_S, Finding, NoData, PartDown, describe_failure
from workers.health.status_history import DAMPING_S, StatusChange, StatusHistory
from workers.redis.connection import ReplyError

log = structlog.get_logger()

POSTGRES, REDIS = "postgres", "redis"
LEASE_S = 15.0
RECORD_S = 60.0
"""How often the history of a part that doesn't change gets a row."""
GAUGE = {"up": 1.0, "degraded": 0.5, "down": 0.0}

Check = Callable[[], Awaitable[Finding | None]]
Act = Callable[[], Awaitable[None]]

__all__ = ["DAMPING_S", "LEASE_S", "Check", "Part", "ServiceWatch"]


@dataclass(frozen=True)
class Part:
    """A part: its check, and the stores that this check needs: nothing is known of the part while one of them is down."""

    check: Check
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckResult:
    """What one check of a part found. `status` is None if nothing is known."""

    status: PartStatus | None
    latency_ms: float
    detail: Mapping[str, float]
    error: str | None = None
    lasted_s: float = 0.0


@dataclass
class Tally:
    """Checks of a part since its last row in the history."""

    status: PartStatus = "up"
    checks: int = 0
    failed: int = 0
    latency_ms: float = 0.0
    error: str | None = None

    def add(self, result: CheckResult, status: PartStatus) -> None:
        self.status, self.checks = status, self.checks + 1
        self.failed += status != "up"
        self.latency_ms = max(self.latency_ms, result.latency_ms)
        self.error = result.error or self.error


@dataclass
class _Memory:
    """What the watchdog remembers of a part, besides the row that says what was reported."""

    reported: PartStatus = "up"
    history: StatusHistory = field(default_factory=StatusHistory)
    tally: Tally = field(default_factory=Tally)
    recorded_at: float = -math.inf


class ServiceWatch:
    """Checks parts by name, and reports their changes. `acts` heal, after each round of checks; `wake` rings for the
    deliverers; `clock` is monotonic. History is kept for `days`."""

    def __init__(
        self,
        system_pool: Pool,
        parts: Mapping[str, Part],
        *,
        watcher: str,
        wake: Callable[[], Awaitable[None]],
        acts: Sequence[Act] = (),
        days: int = 7,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool, self._parts, self._watcher, self._wake, self._clock = system_pool, parts, watcher, wake, clock
        self._acts, self._days = acts, days
        self._memories = {part: _Memory() for part in parts}
        self._postgres_down: StatusChange | None = None  # an outage that could not be reported yet
        self._leads = True

    async def check_all(self) -> None:
        """Check all parts once, heal, and report what has changed for long enough. While another scheduler watches, only try
        to take over. Raises Unavailable while Postgres is."""
        if not self._leads:
            async with system_tx(self._pool) as db:
                self._leads = bool(await self._watch(db))
            return
        begun = self._clock()
        names = list(self._parts)
        results = dict(
            zip(names, await asyncio.gather(*(_run(part.check) for part in self._parts.values())), strict=True)
        )
        for name in names:
            self._note(name, results, begun)
        await self._heal()
        if results[POSTGRES].status == "down":
            history = self._memories[POSTGRES].history
            reported = self._memories[POSTGRES].reported
            change = history.change(reported, begun, DAMPING_S)
            if change and change.status == "down" and self._postgres_down is None:
                self._postgres_down = change
                _log_change(POSTGRES, change, reported)
            return  # nothing can be written
        await self._report(results, begun)

    async def release(self) -> None:
        """Let another scheduler watch at once. Raises Unavailable."""
        async with system_tx(self._pool) as db:
            await queries.release_parts(db, watcher=self._watcher)

    def _note(self, name: str, results: Mapping[str, CheckResult], at: float) -> None:
        result, memory, stores = results[name], self._memories[name], self._parts[name].depends_on
        if any(results[store].status == "down" for store in stores):
            memory.history = StatusHistory()
            SERVICE_UP.of(name).set(math.nan)
        elif result.status is not None:
            SERVICE_UP.of(name).set(GAUGE[result.status])
            memory.history.note(result.status, at, result.error, lasted_s=result.lasted_s)
            memory.tally.add(result, result.status)

    async def _heal(self) -> None:
        for act in self._acts:
            try:
                await act()
            except (HeadraceError, ReplyError, OSError) as error:
                log.warning("healing_postponed", act=getattr(act, "__name__", "act"), error=type(error).__name__)

    async def _watch(self, db: Db) -> list[WatchedPart]:
        return await queries.watch_parts(db, list(self._parts), watcher=self._watcher, lease_s=LEASE_S)

    async def _report(self, results: Mapping[str, CheckResult], now: float) -> None:
        deliveries, changed = 0, set[str]()
        async with system_tx(self._pool) as db:
            watched = {part.part: part for part in await self._watch(db)}
            for name in sorted(watched):
                for change in self._changes(watched[name], now):
                    changed.add(name)
                    deliveries += await self._change(db, watched[name], change, now)
                    watched[name] = WatchedPart(part=name, status=change.status, since=_moment(change.at, now))
            own = set(watched)
            for name in own:
                self._memories[name].reported = watched[name].status
            found = [self._found(watched[name], results[name], now) for name in sorted(own)]
            await queries.store_findings(db, found, watcher=self._watcher)
            await self._record(db, own, changed, now)
        self._postgres_down, self._leads = None, bool(own)
        if not self._leads:
            self._forget()
        if deliveries:
            await self._wake()

    def _changes(self, part: WatchedPart, now: float) -> list[StatusChange]:
        """Return the changes of a part that are to be reported, oldest first."""
        history, status, changes = self._memories[part.part].history, part.status, list[StatusChange]()
        if part.part == POSTGRES and self._postgres_down and status != "down":
            changes.append(self._postgres_down)
            status = "down"
        if change := history.change(status, now, DAMPING_S):
            changes.append(change)
        return changes

    async def _change(self, db: Db, part: WatchedPart, change: StatusChange, now: float) -> int:
        """Store a change and write its deliveries; return how many."""
        since = _moment(change.at, now)
        data = {
            "part": part.part,
            "status": change.status,
            "was": part.status,
            "since": since.isoformat(timespec="seconds"),
            "error": change.error,
        }
        if change.status == "up":
            data["down_since"] = part.since.isoformat(timespec="seconds")
        if part.status == "up":
            self._memories[part.part].history.count_outage(now)
        if change is not self._postgres_down:
            _log_change(part.part, change, part.status)
        return await queries.change_part(
            db,
            part.part,
            change.status,
            was=part.status,
            watcher=self._watcher,
            since=since,
            data=data,
        )

    def _found(self, part: WatchedPart, result: CheckResult, now: float) -> PartFound:
        history = self._memories[part.part].history
        works_since = history.works_since(part.status)
        return PartFound(
            part=part.part,
            latency_ms=result.latency_ms,
            detail=dict(result.detail),
            error=history.error,
            error_at=None if history.error_at is None else _moment(history.error_at, now),
            works_since=None if works_since is None else _moment(works_since, now),
        )

    async def _record(self, db: Db, own: set[str], changed: set[str], now: float) -> None:
        """Add to the history what has changed, and once a minute the rest."""
        rows: list[PartChecks] = []
        for name in sorted(own):
            memory = self._memories[name]
            if memory.tally.checks and (name in changed or now - memory.recorded_at >= RECORD_S):
                tally, memory.tally, memory.recorded_at = memory.tally, Tally(), now
                rows.append(
                    PartChecks(
                        part=name,
                        status=tally.status,
                        checks=tally.checks,
                        failed=tally.failed,
                        latency_ms=round(tally.latency_ms, 2),
                        error=tally.error,
                    )
                )
        if rows:
            await queries.record_checks(db, rows)
            await queries.forget_old_checks(db, days=self._days)

    def _forget(self) -> None:
        """Another scheduler watches now: what this one remembers is of no use any more."""
        for name in self._parts:
            self._memories[name] = _Memory()
            SERVICE_UP.of(name).set(math.nan)


def _log_change(part: str, change: StatusChange, was: PartStatus) -> None:
    log.warning("service_changed", part=part, status=change.status, was=was, error=change.error)


def _moment(at: float, now: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=now - at)


async def _run(check: Check) -> CheckResult:
    """Run a check, and say what it found in a sentence."""
    began = time.perf_counter()
    status: PartStatus | None = "up"
    error, lasted_s, detail = None, 0.0, dict[str, float]()
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            found = await check() or Finding()
        detail, error, lasted_s = dict(found.detail), found.trouble, found.lasted_s
        status = "degraded" if error else "up"
    except NoData as nothing:
        status, detail = None, nothing.detail
    except Exception as failure:  # noqa: BLE001 -- whatever is wrong, the part is down
        status, error = "down", describe_failure(failure)
        if isinstance(failure, PartDown):
            lasted_s, detail = failure.lasted_s, failure.detail
    return CheckResult(status, (time.perf_counter() - began) * 1000, detail, error, lasted_s)

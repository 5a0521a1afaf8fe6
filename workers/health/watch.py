"""Tells webhooks which parts of the installation go down and come back: `service.down`, `service.recovered`.

A part is down when each check of DAMPING_S failed, and up when each succeeded, so a restart or a single time-out tells
nobody. One scheduler watches each part; what it was told last is a row, changed together with the deliveries. Postgres holds
these rows, so its own outage is told when it is over.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from schema.metrics.catalog import SERVICE_UP
from schema.postgres.connections import Db, Pool, system_tx
from schema.queries.webhooks.service_parts import PartStatus, WatchedPart, change_part, watch_parts
from workers.health.checks import CHECK_TIMEOUT_S, describe_failure

log = structlog.get_logger()

POSTGRES, REDIS = "postgres", "redis"
DAMPING_S = 15.0
LEASE_S = 30.0
CONSEQUENCES = ("workers", "routing")
"""Parts that are seen through Redis: nothing is known of them while it is down."""

Check = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Seen:
    """What a part has looked like since a time; `error` is why it is down."""

    status: PartStatus
    at: float
    error: str | None = None


class ServiceWatch:
    """Checks parts by name, and tells of their changes. `wake` rings for the deliverers; `clock` is monotonic."""

    def __init__(
        self,
        system_pool: Pool,
        checks: dict[str, Check],
        *,
        watcher: str,
        wake: Callable[[], Awaitable[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool, self._checks, self._watcher, self._wake, self._clock = system_pool, checks, watcher, wake, clock
        self._seen: dict[str, Seen] = {}
        self._postgres_down: Seen | None = None

    async def look(self) -> None:
        """Check all parts once, and tell of what has changed for long enough. Raises Unavailable while Postgres is."""
        errors = dict(zip(self._checks, await asyncio.gather(*map(_failure, self._checks.values())), strict=True))
        for part, error in errors.items():
            SERVICE_UP.of(part).set(0 if error else 1)
            if part in CONSEQUENCES and errors.get(REDIS):
                self._seen.pop(part, None)
            else:
                self._note(part, error)
        down = self._seen.get(POSTGRES)
        if errors.get(POSTGRES):
            if down is not None and self._has_lasted(down):
                self._postgres_down = down
            return  # nothing can be written
        await self._tell()

    def _note(self, part: str, error: str | None) -> None:
        status: PartStatus = "down" if error else "up"
        before = self._seen.get(part)
        if before is None or before.status != status:
            self._seen[part] = Seen(status, self._clock(), error)

    def _has_lasted(self, seen: Seen) -> bool:
        return self._clock() - seen.at >= DAMPING_S

    async def _tell(self) -> None:
        told = 0
        async with system_tx(self._pool) as db:
            for part in await watch_parts(db, list(self._seen), watcher=self._watcher, lease_s=LEASE_S):
                if part.part == POSTGRES and self._postgres_down and part.status == "up":
                    told += await self._change(db, part, self._postgres_down)
                seen = self._seen[part.part]
                was_told = "down" if part.part == POSTGRES and self._postgres_down else part.status
                if seen.status != was_told and self._has_lasted(seen):
                    told += await self._change(db, part, seen)
        if (up := self._seen.get(POSTGRES)) is not None and self._has_lasted(up):
            self._postgres_down = None
        if told:
            await self._wake()

    async def _change(self, db: Db, part: WatchedPart, seen: Seen) -> int:
        """Store a change and write its deliveries; return how many."""
        since = datetime.now(UTC) - timedelta(seconds=self._clock() - seen.at)
        data = {
            "part": part.part,
            "status": seen.status,
            "since": since.isoformat(timespec="seconds"),
            "error": seen.error,
        }
        if seen.status == "up":
            data["down_since"] = part.since.isoformat(timespec="seconds")
        log.warning("service_changed", part=part.part, status=seen.status, error=seen.error)
        return await change_part(
            db, part.part, seen.status, watcher=self._watcher, since=since, data=data, error=seen.error
        )


async def _failure(check: Check) -> str | None:
    """Return why a check fails, in a sentence; None if it doesn't."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except Exception as error:  # noqa: BLE001 -- whatever is wrong, the part is down
        return describe_failure(error)
    return None

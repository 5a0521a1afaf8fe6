"""Since when each part of `/health` is as it is, what was wrong with it last, and what the watchdog knows besides.

This process remembers what its own checks saw. The watchdog's rows (`service_parts`) are older than this process and know what
happened while nobody asked; they leave out what lasted only seconds.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from schema.errors import HeadraceError
from schema.postgres.connections import Pool, connection
from schema.queries.health.service_parts import PartStatus, StoredPart, list_parts

READ_TIMEOUT_S = 1.0
UNWATCHED_S = 15.0
"""How long after the end of its lease a watchdog's findings are still shown: another has taken over by then."""


@dataclass(frozen=True)
class PartRecord:
    """A part as it was seen: its status `since` then, and its last error, if there was one. `changed` says that this process
    saw it change, so `since` is not just when it first looked."""

    status: PartStatus
    since: datetime
    changed: bool = False
    last_error: str | None = None
    last_error_at: datetime | None = None


class PartHistory:
    """Remembers parts by name."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._records: dict[str, PartRecord] = {}

    def note(self, part: str, status: PartStatus, error: str | None, stored: StoredPart | None) -> PartRecord:
        """Remember what a check has just seen; return it together with what the scheduler has stored."""
        now, before = self._now(), self._records.get(part)
        if before is None:
            record = PartRecord(status, now)
        elif before.status != status:
            record = replace(before, status=status, since=now, changed=True)
        else:
            record = before
        if error:
            record = replace(record, last_error=error, last_error_at=now)
        self._records[part] = record
        return _combine(record, stored) if stored else record


def _combine(own: PartRecord, stored: StoredPart) -> PartRecord:
    if own.status == stored.status:
        own = replace(own, since=max(own.since, stored.since) if own.changed else stored.since)
    failed_at = stored.error_at
    if stored.error and (own.last_error_at is None or (failed_at is not None and own.last_error_at < failed_at)):
        return replace(own, last_error=stored.error, last_error_at=failed_at)
    return own


async def read_stored_parts(pool: Pool) -> dict[str, StoredPart]:
    """Return what the scheduler has stored, by part; nothing while Postgres is unavailable."""
    try:
        async with asyncio.timeout(READ_TIMEOUT_S), connection(pool) as db:
            return {part.part: part for part in await list_parts(db, unwatched_s=UNWATCHED_S)}
    except (HeadraceError, TimeoutError):
        return {}

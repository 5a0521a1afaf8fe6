"""When a certificate is renewed, when its end is told, and what the watchdog says of all of them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from schema.queries.certificates.certificates import Certificate, WatchedCertificate

Row = TypeVar("Row", Certificate, WatchedCertificate)

THRESHOLDS = (14, 7, 3, 1, 0)
"""Days before its end, at which a certificate is told of. One that lasts less than ten weeks: at a fifth of its time first."""
SHARE_LEFT = 3  # renewed when a third of its time is left
WARN_SHARE = 5
DAY = timedelta(days=1)
NEVER = datetime.max.replace(tzinfo=UTC)


def renew_at(not_before: datetime, not_after: datetime) -> datetime:
    """Return when an authority is asked for the next one."""
    return not_after - (not_after - not_before) / SHARE_LEFT


def warn_from(not_before: datetime, not_after: datetime) -> datetime:
    """Return from when on its end is near: 14 days before, or a fifth of its time where that is less."""
    return not_after - min(THRESHOLDS[0] * DAY, (not_after - not_before) / WARN_SHARE)


def due_warning(not_before: datetime, not_after: datetime, now: datetime) -> int | None:
    """Return the threshold that a certificate has passed last, None while its end isn't near."""
    if now < warn_from(not_before, not_after):
        return None
    left = not_after - now
    return min(days for days in THRESHOLDS if left <= days * DAY) if left <= THRESHOLDS[0] * DAY else None


def days_left(not_after: datetime, now: datetime) -> float:
    """Return how many days are left, below 0 after its end."""
    return (not_after - now) / DAY


def serving(rows: Sequence[Row]) -> list[Row]:
    """Return the certificates that count: of those with a name in common the one that ends last, for each name."""
    best: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row.not_after or NEVER):
        best |= dict.fromkeys(row.names if row.not_after else (), row)
    return list({row.id: row for row in best.values()}.values())

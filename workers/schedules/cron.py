"""When a cron expression is due, in a time zone.

The rules are Debian's cron's (`cronsim`): a fixed time that a change to summer time skips is due right after the gap, one that
happens twice is due the first time only; expressions with `*` or `*/n` as minute or hour go by the clock that really passes.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from schema.errors import InputError

if TYPE_CHECKING:
    from cronsim import CronSim

EXAMPLE = "0 8 * * MON-FRI"
FIELDS = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, or L for the last",
    "month": "1 to 12, or JAN to DEC",
    "day-of-week": "0 to 7, or SUN to SAT",
}
STEPS = {"minute": 60, "hour": 24, "day-of-month": 31, "month": 12, "day-of-week": 7}
"""The longest step of each part. A longer one is never taken: something else was meant."""
NO_ZONES = {"localtime", "posixrules", "Factory"}
"""Names that the system's list has, which mean whatever the machine is set to, or nothing."""
MAX_LENGTH = 200


def check_cron(expression: str, timezone: str, *, field: str = "cron") -> None:
    """Raise InputError, which names the part, for an expression that is invalid or never due, or an unknown time zone."""
    zone = read_zone(timezone)
    parts = expression.split()
    if len(parts) != len(FIELDS) or len(expression) > MAX_LENGTH:
        raise InputError(
            f"{field} must have five parts: {', '.join(FIELDS)}. {len(parts)} were sent. For example, {EXAMPLE!r} is every "
            "working day at eight.",
            field=field,
        )
    for position, (name, rule) in enumerate(FIELDS.items()):
        alone = ["*"] * len(FIELDS)
        alone[position] = parts[position]
        if not _is_valid(" ".join(alone)) or _steps_too_far(parts[position], STEPS[name]):
            raise InputError(
                f"{field}: {parts[position][:40]!r} is no {name}: {rule}, lists such as 1,15, ranges such as 1-5, or steps "
                f"such as */10. For example, {EXAMPLE!r} is every working day at eight.",
                field=field,
            )
    if not _is_valid(expression) or next_due(expression, zone.key, datetime.now(UTC)) is None:
        raise InputError(
            f"{field}: {expression!r} is never due: no month has such a day. Try {EXAMPLE!r}.", field=field
        )


def read_zone(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name. Raises InputError."""
    try:
        if name not in _zones():
            raise ZoneInfoNotFoundError(name)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(
            f"timezone: {name[:60]!r} is no time zone. Send an IANA name such as Asia/Ho_Chi_Minh, Europe/Berlin or UTC.",
            field="timezone",
        ) from None


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - NO_ZONES


def next_due(expression: str, timezone: str, after: datetime) -> datetime | None:
    """Return the first time after `after` at which an expression is due, in UTC; None if it never is."""
    return next(due_times(expression, timezone, after), None)


def due_times(expression: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """Yield the times after `after` at which an expression is due, in UTC, as long as there are any."""
    for at in _cron(expression, after.astimezone(ZoneInfo(timezone))):
        yield at.astimezone(UTC)


def previous_due(expression: str, timezone: str, until: datetime) -> datetime:
    """Return the last time up to `until` at which an expression was due, in UTC; it must have been at some time."""
    after = until.astimezone(ZoneInfo(timezone)) + timedelta(seconds=1)
    return next(_cron(expression, after, backwards=True)).astimezone(UTC)


def _cron(expression: str, after: datetime, *, backwards: bool = False) -> "CronSim":
    from cronsim import CronSim

    return CronSim(expression, after, reverse=backwards)


def _steps_too_far(part: str, longest: int) -> bool:
    """Whether a valid part of an expression has a step longer than the part can be."""
    steps = [item.partition("/")[2] for item in part.split(",")]
    return any(int(step) > longest for step in steps if step)


def _is_valid(expression: str) -> bool:
    from cronsim import CronSimError

    try:
        _cron(expression, datetime.now(UTC))
    except CronSimError:
        return False
    return True

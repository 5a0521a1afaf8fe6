"""When a failed delivery is tried again: the schedule of Standard Webhooks 1.0.0 with jitter, and `Retry-After`."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MINUTE_S, HOUR_S = 60.0, 3600.0

DELAYS_S = (
    *(0.0, 5.0, 5 * MINUTE_S, 30 * MINUTE_S),
    *(2 * HOUR_S, 5 * HOUR_S, 10 * HOUR_S, 14 * HOUR_S, 20 * HOUR_S, 24 * HOUR_S),
)
"""How long after the try before each one follows: ten tries within three days."""
JITTER = 0.2
MAX_RETRY_AFTER_S = 24 * HOUR_S
MAX_FAILING_DAYS = 5
"""After how many days of nothing but failures an endpoint is switched off."""

DELIVERY_DAYS = 30
"""How long deliveries are kept after they ended."""

THROTTLES = (429, 502, 503, 504)
"""Answers after which the receiver gets nothing else for a while, either."""
THROTTLE_S = 5.0
MAX_HOLD_S = HOUR_S


def next_delay_s(
    tries: int, uniform: Callable[[float, float], float], retry_after_s: float | None = None
) -> float | None:
    """Return how long to wait after the `tries`-th try failed; None if it was the last. `uniform` draws between two bounds."""
    if tries >= len(DELAYS_S):
        return None
    planned = DELAYS_S[tries] * uniform(1 - JITTER, 1 + JITTER)
    return max(planned, min(retry_after_s or 0.0, MAX_RETRY_AFTER_S))


def hold_s(status: int | None, retry_after_s: float | None) -> float:
    """Return for how long the receiver gets nothing at all."""
    if status is None or (status not in THROTTLES and retry_after_s is None):
        return 0.0
    return min(THROTTLE_S if retry_after_s is None else retry_after_s, MAX_HOLD_S)


def read_retry_after(text: str, now: datetime) -> float | None:
    """Return the seconds that a `Retry-After` asks for, as a number or a date; None for none, and for one that is neither."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())

"""What a part has looked like of late, and from when on that is a change to be told."""

from collections import deque
from dataclasses import dataclass, field

from schema.queries.health.service_parts import PartStatus

DAMPING_S = 8.0
"""How long a part must be worse or better. With a look every 3 s, and 2 s for a check, an outage is told within 14 s."""
SURE_S = 2.5
"""How long a part that has not been up for DAMPING_S must have been down, which is two looks, to be told to be down."""
FLAPPING_S = 600.0
MOST_DOUBLINGS = 4


@dataclass(frozen=True)
class Verdict:
    """A part's new status, since when, and why it is not up."""

    status: PartStatus
    at: float
    error: str | None = None


@dataclass
class Trail:
    """Since when a part has been down, not up, not down, and up without a break; None if it is not now. Times are of one
    monotonic clock."""

    down_at: float | None = None
    not_up_at: float | None = None
    not_down_at: float | None = None
    up_at: float | None = None
    error: str | None = None
    error_at: float | None = None
    _outages: deque[float] = field(default_factory=lambda: deque[float](maxlen=MOST_DOUBLINGS + 1))

    def note(self, status: PartStatus, seen_at: float, error: str | None, *, lasted_s: float = 0.0) -> None:
        """Note what a check found, and for how long it has been so already."""
        at = seen_at - lasted_s
        self.down_at = _since(self.down_at, at, status == "down")
        self.not_up_at = _since(self.not_up_at, at, status != "up")
        self.not_down_at = _since(self.not_down_at, at, status != "down")
        self.up_at = _since(self.up_at, at, status == "up")
        if error:
            self.error, self.error_at = error, seen_at

    def verdict(self, told: PartStatus, now: float, damping_s: float) -> Verdict | None:
        """Return what is to be told of a part that was told of like this; None if nothing is, or nothing yet."""
        calm_s = damping_s * 2 ** min(max(0, self._recent(now) - 1), MOST_DOUBLINGS)
        if told != "down" and self.down_at is not None and now - self.down_at >= damping_s:
            return Verdict("down", self.down_at, self.error)
        if told == "up" and self.not_up_at is not None and now - self.not_up_at >= damping_s:
            # An outage may begin with a check that only took long: it is not told to be less than it is, and then again.
            if self.down_at is None:
                return Verdict("degraded", self.not_up_at, self.error)
            if now - self.down_at >= SURE_S:
                return Verdict("down", self.not_up_at, self.error)
        if told != "up" and self.up_at is not None and now - self.up_at >= calm_s:
            return Verdict("up", self.up_at)
        if told == "down" and self.up_at is None and self.not_down_at is not None and now - self.not_down_at >= calm_s:
            return Verdict("degraded", self.not_down_at, self.error)
        return None

    def works_since(self, told: PartStatus) -> float | None:
        """Return since when a part that was told not to be up has worked; None if it doesn't, or was told."""
        return None if told == "up" else self.up_at

    def count_outage(self, now: float) -> None:
        """Remember that the part was told not to be up any more: the more often, the longer it must be up."""
        self._outages.append(now)

    def _recent(self, now: float) -> int:
        return sum(now - at < FLAPPING_S for at in self._outages)


def _since(before: float | None, at: float, holds: bool) -> float | None:
    if not holds:
        return None
    return at if before is None else min(before, at)
